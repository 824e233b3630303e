"""Which files differ from the seed's, and whether every attachment that the database mentions is there."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .files import FileFact
from .ledger import KEY_PREFIX, blob_path

WALK_SCRIPT = Path(__file__).with_name("walk.py").read_text()
"""For `python3 - storage=DIRECTORY uploads=DIRECTORY files=DIRECTORY plugins=DIRECTORY`, where the files are.
"""

_LEDGER = f"storage/{KEY_PREFIX}"

BLOBS_QUERY = (
    "SELECT id, key, byte_size, checksum FROM public.active_storage_blobs"
    " WHERE service_name = 'local' ORDER BY id"
)


@dataclass(frozen=True)
class FileDifference:
    """what: one or more of missing, extra, type, content, mode, owner, time, target."""

    path: str
    what: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(self.what)}"


@dataclass(frozen=True)
class Blob:
    """A row of active_storage_blobs whose file is local. checksum: base64 of the MD5, None when there is
    none.
    """

    id: int
    key: str
    byte_size: int
    checksum: str | None

    @property
    def path(self) -> str:
        return f"storage/{blob_path(self.key)}"


def parse_walk(lines: Iterable[bytes | str]) -> Iterator[FileFact]:
    """What WALK_SCRIPT printed."""
    for line in lines:
        if line.strip():
            yield FileFact(**json.loads(line))


def is_ledgers(path: str) -> bool:
    """Whether a path is the ledger's, not the seed's."""
    return path == _LEDGER or path.startswith(f"{_LEDGER}/")


def compare_files(wanted: Mapping[str, FileFact], actual: Mapping[str, FileFact]) -> list[FileDifference]:
    """In the order of paths. The ledger's files must have been left out of both."""
    differences = []
    for path in sorted(wanted.keys() | actual.keys()):
        what = _what_differs(wanted.get(path), actual.get(path))
        if what:
            differences.append(FileDifference(path, what))
    return differences


def parse_blobs(lines: Iterable[bytes]) -> list[Blob]:
    """The answer to BLOBS_QUERY."""
    blobs = []
    for line in lines:
        number, key, size, checksum = line.decode().split("\t")
        blobs.append(Blob(int(number), key, int(size), None if checksum == r"\N" else checksum))
    return blobs


def broken(blob: Blob, actual: Mapping[str, FileFact]) -> str | None:
    """What is wrong with an attachment, as a sentence."""
    found = actual.get(blob.path)
    if found is None or found.type != "file":
        return f"blob {blob.id}: {blob.path} is missing"
    if found.size != blob.byte_size:
        return f"blob {blob.id}: {blob.path} has {found.size} bytes instead of {blob.byte_size}"
    if blob.checksum is not None and found.md5 != base64.b64decode(blob.checksum).hex():
        return f"blob {blob.id}: the content of {blob.path} does not match its checksum"
    return None


def _what_differs(wanted: FileFact | None, actual: FileFact | None) -> tuple[str, ...]:
    if wanted is None:
        return ("extra",)
    if actual is None:
        return ("missing",)
    if wanted.type != actual.type:
        return ("type",)
    checks = {
        "content": (wanted.size, wanted.sha256) == (actual.size, actual.sha256),
        # Linux gives every symlink the same mode, and a directory's time changes with its children.
        "mode": wanted.type == "symlink" or wanted.mode == actual.mode,
        "owner": (wanted.uid, wanted.gid) == (actual.uid, actual.gid),
        "time": wanted.type != "file" or wanted.mtime == actual.mtime,
        "target": wanted.target == actual.target,
    }
    return tuple(name for name, same in checks.items() if not same)
