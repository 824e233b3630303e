"""App-data: the sources that the configuration names, seen as one tree, and what a walk tells of each entry.

The first component of every path is the source's name (`storage/ab/cd/key`), the rest is the path below the
mount. Paths are bytes throughout.
"""

# ruff: noqa: PTH115, PTH118
# pathlib decodes every name; these functions leave bytes alone.

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from loomio_backup import docker
from loomio_backup.config import AppDataSource
from loomio_backup.errors import SourceError

OWN_PREFIX = b".loomio-"
"""Names in a mount's root that are ours (a restore's staging and what it moved aside), never app-data."""
_LOST_AND_FOUND = b"lost+found"

Roots = Mapping[str, Path]
"""The directory of each source, by the source's name."""

Looks = tuple[bytes, str, int, int, int, int, int, int, int, bytes | None]
"""The fields of a ScanEntry that a walk can tell."""


class ScanEntry(NamedTuple):
    """One line of the scan. `type` is file, dir or symlink; `target` is a symlink's. Where inode is 0, only
    the content counts (see filereading.py). A tuple, because there are very many.
    """

    path: bytes
    type: str
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    target: bytes | None = None
    sha256: str | None = None
    pack: str | None = None


@dataclass(frozen=True)
class Totals:
    """How much there is; bytes are the files' sizes."""

    files: int
    directories: int
    symlinks: int
    bytes: int


def resolve_roots(sources: Sequence[AppDataSource]) -> dict[str, Path]:
    """Find the directory of every source. Raises SourceError for one that is not there."""
    roots = {}
    for source in sources:
        if source.volume is not None:
            root = docker.volume_mountpoint(source.volume)
            if root is None:
                raise SourceError(
                    f"the volume {source.volume} ({source.name}) does not exist, so no backup was made. "
                    "Earlier backups are untouched. "
                    "Start the stack once, or correct app_data in the settings."
                )
        else:
            assert source.directory is not None
            root = source.directory
        if not root.is_dir():
            raise SourceError(
                f"the directory {root} ({source.name}) is not there, so it cannot be backed up. "
                "Earlier backups are untouched. Is its disk mounted?"
            )
        roots[source.name] = root
    return roots


def has_files(root: Path) -> bool:
    """Whether there is any file below a directory."""
    return any(names for _, _, names in os.walk(root))


def host_path(roots: Roots, path: bytes) -> bytes:
    """Where a scanned path is on this machine."""
    name, _, rest = path.partition(b"/")
    root = os.fsencode(roots[name.decode()])
    return os.path.join(root, rest) if rest else root


def text_of(path: bytes) -> str:
    """A path as text: UTF-8, other bytes as surrogate escapes, whatever the locale is."""
    return path.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The path that `text_of` turned into text."""
    return text.encode("utf-8", "surrogateescape")


def unreadable(path: bytes, error: OSError) -> SourceError:
    """The error for something that is there and cannot be read: a backup without it would be none."""
    return SourceError(
        f"cannot read {text_of(path)!r} ({error.strerror}), so no backup was made. Earlier backups are "
        "untouched. Run as root; for an input/output error, look into dmesg and test the disk. Then run "
        "loomio-backup run again."
    )


def is_reserved(name: bytes) -> bool:
    """Whether a name in a mount's root is not app-data."""
    return name.startswith(OWN_PREFIX) or name == _LOST_AND_FOUND


def walk(name: bytes, root: bytes, skipped: Callable[[bytes], None]) -> Iterator[Looks]:
    """Everything in a source, parents first. `skipped` is told the paths of sockets, pipes and devices, which
    have no content to keep. What vanishes meanwhile is left out. Raises SourceError for what cannot be read.
    """
    top = _looks(name, os.lstat(root), None)
    assert top is not None
    yield top
    pending = [b""]
    while pending:
        below = pending.pop()
        place = root + b"/" + below
        directories = []
        try:
            with os.scandir(place) as listing:
                for item in listing:
                    if not below and is_reserved(item.name):
                        continue
                    relative = below + item.name
                    status = _status(item)
                    if status is None:
                        continue
                    looks = _looks(name + b"/" + relative, *status)
                    if looks is None:
                        skipped(name + b"/" + relative)
                        continue
                    if looks[1] == "dir":
                        directories.append(relative + b"/")
                    yield looks
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise unreadable(place, error) from error
        # In order, so that whoever keeps the entries in order has next to nothing to do.
        pending += sorted(directories, reverse=True)


def _status(item: "os.DirEntry[bytes]") -> tuple[os.stat_result, bytes | None] | None:
    """The status, and a symlink's target; None when it is gone."""
    try:
        status = item.stat(follow_symlinks=False)
        return status, os.readlink(item.path) if stat.S_ISLNK(status.st_mode) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(item.path, error) from error


def _looks(path: bytes, status: os.stat_result, target: bytes | None) -> Looks | None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        kind, size = "file", status.st_size
    elif stat.S_ISDIR(mode):
        kind, size = "dir", 0
    elif stat.S_ISLNK(mode):
        kind, size = "symlink", 0
    else:
        return None
    owner = status.st_uid, status.st_gid
    times = status.st_mtime_ns, status.st_ctime_ns
    return (path, kind, size, stat.S_IMODE(mode), *owner, *times, status.st_ino, target)
