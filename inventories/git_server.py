"""The server of the stack's repository, where it is reached over SSH: its name, and the keys it is known by.
Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: In the format of OpenSSH's known_hosts.
KNOWN = Path(__file__).resolve().parents[1] / "files" / "git_known_hosts"
DEFAULT_PORT = 22


@dataclass(frozen=True)
class GitServer:
    """Host name and SSH port."""

    host: str
    port: int = DEFAULT_PORT

    @property
    def pattern(self) -> str:
        """As known_hosts writes it."""
        return self.host if self.port == DEFAULT_PORT else f"[{self.host}]:{self.port}"


def over_ssh(repository: str) -> GitServer | None:
    """The server of an address such as git@github.com:you/stack.git or ssh://git@host:2222/stack; None for
    addresses of other kinds.
    """
    if repository.startswith("ssh://"):
        parts = urlsplit(repository)
        return GitServer(parts.hostname or "", parts.port or DEFAULT_PORT)
    if "://" not in repository and (found := re.fullmatch(r"[\w.-]+@([\w.-]+):.+", repository)):
        return GitServer(found[1])
    return None


def known_hosts(server: GitServer, host_keys: Sequence[str]) -> str:
    """The known_hosts file for this server alone: with the given keys or, without any, those that come with
    this program. Empty where nothing is known of it.
    """
    if host_keys:
        return "".join(f"{server.pattern} {key}\n" for key in host_keys)
    lines = KNOWN.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.split(" ", 1)[0] == server.pattern)


def unknown(repository: str, host_keys: Sequence[str]) -> str | None:
    """What is wrong where the keys of a repository's server are not known; None where all is well."""
    server = over_ssh(repository)
    if server is None or known_hosts(server, host_keys):
        return None
    port = "" if server.port == DEFAULT_PORT else f"-p {server.port} "
    return (
        f"has a repository on {server.host} over SSH, and no host_keys to know that server by; put in what "
        f"`ssh-keyscan {port}-t ed25519 {server.host}` prints, from ssh-ed25519 on, after comparing it with "
        "what the server's owner says"
    )
