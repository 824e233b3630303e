"""What lies in a download: files, and members of zips, each of which can be read as a stream.

Names are for messages only, and never become paths: what a zip says about itself may be anything.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from inventories.validation import SettingsError
from loomio_backup.errors import StoreDamaged

_BLOCK = 1 << 20
#: How zips begin: with a member, or (empty ones) with their end. Objects never do.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
#: All that reading a zip that is cut, altered, locked or of an unusual kind may raise.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Piece:
    """One file, or one member of a zip. `size` in bytes is what it claims; no more than that is ever read."""

    name: str
    size: int
    opened: Callable[[], AbstractContextManager[IO[bytes]]]

    def blocks(self) -> Iterator[bytes]:
        """Its content. Raises StoreDamaged when it cannot be read to its end."""
        left = self.size
        try:
            with self.opened() as source:
                while left and (block := source.read(min(left, _BLOCK))):
                    left -= len(block)
                    yield block
        except OSError as error:
            raise StoreDamaged(f"{self.name} cannot be read ({error.strerror}).") from error
        except _BROKEN as error:
            raise StoreDamaged(f"{self.name} cannot be unpacked ({error}). Download it again.") from error
        if left:
            raise StoreDamaged(f"{self.name} is {left} bytes shorter than it claims. Download it again.")

    def copy_to(self, path: Path) -> Iterator[int]:
        """Write it into the new file `path` (mode 0600, on the disk at the end); yields bytes done so far."""
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        done = 0
        with os.fdopen(descriptor, "wb") as target:
            for block in self.blocks():
                target.write(block)
                done += len(block)
                yield done
            target.flush()
            os.fsync(target.fileno())


@dataclass
class Heap:
    """All pieces of a download, and sentences about what cannot be looked into."""

    pieces: list[Piece]
    problems: list[str]


def heap(place: Path) -> Heap:
    """Everything below the folder `place`, which may also be one file. Raises SettingsError where there is
    nothing.
    """
    found = Heap([], [])
    for path in _files(place):
        try:
            with path.open("rb") as file:
                zipped = file.read(4) in _ZIP
            if zipped:
                _add_members(path, found)
            else:
                found.pieces.append(Piece(shown(path.name), path.stat().st_size, partial(_file, path)))
        except OSError as error:
            found.problems.append(f"{shown(path.name)} cannot be read ({error.strerror}).")
    return found


def _add_members(path: Path, found: Heap) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except _BROKEN:
        found.problems.append(
            f"{shown(path.name)} is no whole zip: its download was cut short. Download it once more."
        )
        return
    for member in members:
        name = f"{shown(member.filename)} in {shown(path.name)}"
        found.pieces.append(Piece(name, member.file_size, partial(_member, path, member)))


@contextmanager
def _file(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as source:
        yield source


@contextmanager
def _member(path: Path, member: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive, archive.open(member) as source:
        yield source


def _files(place: Path) -> Iterator[Path]:
    """Ordinary files; links are not followed, which may lead anywhere."""
    try:
        mode = place.stat().st_mode
    except OSError as error:
        raise SettingsError(
            f"{place} cannot be read: {error.strerror}. Nothing was done. Name the folder that your browser "
            "put the download into, or the zip itself."
        ) from None
    if stat.S_ISREG(mode):
        yield place
        return
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def shown(name: str) -> str:
    """A stranger's name, fit to be printed: no control characters, not endless."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= 120 else f"{text[:117]}…"
