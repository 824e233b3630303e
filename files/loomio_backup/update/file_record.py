"""What every file was like when an update put it aside: a second name shares owner, mode and content with the
first, so what the new version does to a file in its place reaches the original too.

Owner and mode are put right again on the way back. A file that was written to in its place is told; as it was
it is in the backup of when the writers stopped.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from loomio_backup.state import StateDirectory
from loomio_backup.update.update_journal import Journal

_PREFIX = "update-files-"
_NAMED = 3


@dataclass
class Findings:
    """How many files got their owner and mode back, and how many hold something else or are gone; `examples`:
    paths (source/…) of some of these.
    """

    put_right: int = 0
    changed: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str | None:
        """What is wrong, if anything is."""
        if not self.changed:
            return None
        some = ", ".join(self.examples) + (" …" if self.changed > len(self.examples) else "")
        return f"the new version wrote into {self.changed} files in their place ({some})"


class Record:
    """Takes in one file after the other; lines of [source, path, uid, gid, mode, size, mtime_ns]."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(self, source: str, path: bytes, status: os.stat_result) -> None:
        """A file (or link) by its path below the source's root."""
        line = [
            *(source, os.fsdecode(path), status.st_uid, status.st_gid, status.st_mode),
            *(status.st_size, status.st_mtime_ns),
        ]
        self._file.write(json.dumps(line) + "\n")


def place(state: StateDirectory, journal: Journal) -> Path:
    """Where the record of this update is."""
    return state.path / (_PREFIX + journal.id)


def remove(state: StateDirectory) -> None:
    """Let go of it, and of any that was left."""
    for path in state.path.glob(_PREFIX + "*"):
        path.unlink()


def put_right(state: StateDirectory, journal: Journal) -> Findings:
    """Compare the files that are in their places again with the record. Can be repeated."""
    found = Findings()
    for source, path, uid, gid, mode, size, mtime_ns in _lines(place(state, journal)):
        file = os.path.join(os.fsencode(journal.roots[source]), os.fsencode(path))  # noqa: PTH118 - bytes
        try:
            status = os.lstat(file)
        except (FileNotFoundError, NotADirectoryError):
            _note(found, source, path)
            continue
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(mode) or (status.st_size, status.st_mtime_ns) != (
            size,
            mtime_ns,
        ):
            _note(found, source, path)
        if (status.st_uid, status.st_gid, status.st_mode) != (uid, gid, mode):
            os.chown(file, uid, gid, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                os.chmod(file, stat.S_IMODE(mode))  # noqa: PTH101 - bytes
            found.put_right += 1
    return found


def _note(found: Findings, source: str, path: str) -> None:
    found.changed += 1
    if len(found.examples) < _NAMED:
        found.examples.append(f"{source}/{path}")


def _lines(path: Path) -> Iterator[tuple[str, str, int, int, int, int, int]]:
    # An update that began with an older version of this program has none.
    with suppress(FileNotFoundError), path.open(encoding="ascii") as file:
        for line in file:
            yield tuple(json.loads(line))
