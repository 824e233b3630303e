"""The agent as one archive to ship: its package and its locked requirements, and the version that both have
together.
"""

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from deploys.steps.paths import AGENT_PACKAGE, AGENT_REQUIREMENTS


@dataclass(frozen=True)
class AgentArchive:
    """`version`: 12 hex digits of its SHA-256. `content`: tar.gz of agent.txt and loomio_backup/."""

    version: str
    content: bytes


def build(package: Path = AGENT_PACKAGE, requirements: Path = AGENT_REQUIREMENTS) -> AgentArchive:
    """Pack the agent. Equal files give an equal version and equal bytes."""
    members = {"agent.txt": requirements.read_bytes()}
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            members[f"loomio_backup/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    digest = hashlib.sha256()
    archive = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for name, data in sorted(members.items()):
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(data))
    return AgentArchive(digest.hexdigest()[:12], archive.getvalue())
