"""App-data comes back inside each mount's own root, in a directory beside the live files, checked file by
file.

Staging inside the root keeps the later switch a matter of renames. Files are written from packs as they
stream by, and believed when their hash is the index's; links and the directories' own modes come last, so
that nothing is ever written through a link.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO

from loomio_backup import room
from loomio_backup.backup import packs
from loomio_backup.backup.appdata import OWN_PREFIX, ScanEntry, Totals, bytes_of, text_of
from loomio_backup.backup.index import read_index
from loomio_backup.backup.index_table import IndexTable
from loomio_backup.errors import RestoreError

STAGED = OWN_PREFIX.decode() + "restore-"
_READ = 256 << 10


def remove_staged(roots: Mapping[str, Path]) -> None:
    """Remove what an interrupted restore staged; nothing of it was live."""
    for root in roots.values():
        for leftover in root.glob(STAGED + "*"):
            shutil.rmtree(leftover)


class Staging:
    """One restore's staged files. `scratch` is a file for the index, which may not fit into memory."""

    def __init__(self, roots: Mapping[str, Path], id_: str, scratch: Path) -> None:
        self._roots = roots
        self._id = id_
        self._index = IndexTable(scratch)

    def close(self) -> None:
        """Let go of the scratch file."""
        self._index.close()

    def load(self, index: BinaryIO) -> None:
        """Take the index in. Raises RestoreError for a source that this Pi does not have."""
        self._index.load(self._placed(read_index(index)))

    def _placed(self, entries: Iterator[ScanEntry]) -> Iterator[ScanEntry]:
        for entry in entries:
            name = text_of(entry.path.partition(b"/")[0])
            if name not in self._roots:
                raise RestoreError(
                    f"the backup holds the app-data {name}, but the configuration does not say where it "
                    "belongs. Nothing was changed. Add it to app_data in the settings and try again."
                )
            yield entry

    def files(self) -> Iterator[ScanEntry]:
        """Every file of the index."""
        return self._index.files()

    def require_space(self) -> None:
        """Raise RestoreError when a disk cannot take the files beside what it holds."""
        needs = {root: self._index.bytes_below(bytes_of(name)) for name, root in self._roots.items()}
        room.require_restore("the app-data", needs)

    def prepare(self) -> None:
        """Make the staging directories, closed to everybody else until the switch."""
        for name in self._roots:
            self._place(bytes_of(name)).mkdir(mode=0o700)
        for entry in self._index.directories():
            self._place(entry.path).mkdir(mode=0o700, parents=True, exist_ok=True)

    def packs(self) -> list[str]:
        """The packs that hold files of this backup."""
        return self._index.packs()

    def extract(self, pack: str, source: BinaryIO) -> None:
        """Write the files of one pack. Raises DamagedObject when one is missing or another."""
        with self._index.transaction(), packs.damage_told(pack):
            for path, _, content in packs.members(source):
                entry = self._index.wanted(pack, path)
                if entry is not None and self._write(entry, content):
                    self._index.had(entry)
        self._index.require_all_of(pack)

    def finish(self) -> Totals:
        """Links, then modes, owners and times of directories, deepest first; everything on the disk
        afterwards.
        """
        for entry in self._index.symlinks():
            link = self._place(entry.path)
            assert entry.target is not None
            link.symlink_to(os.fsdecode(entry.target))
            os.chown(link, entry.uid, entry.gid, follow_symlinks=False)
            os.utime(link, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
        for entry in self._index.directories(deepest_first=True):
            place = self._place(entry.path)
            os.chown(place, entry.uid, entry.gid)
            place.chmod(entry.mode)
            os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))
        os.sync()
        return self._index.totals()

    def _write(self, entry: ScanEntry, content: IO[bytes]) -> bool:
        """Whether the content was the index's; a pack may also hold what a file was when it was still
        changing.
        """
        place = self._place(entry.path)
        digest = hashlib.sha256()
        descriptor = os.open(
            place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            while block := content.read(_READ):
                digest.update(block)
                file.write(block)
            os.fchown(descriptor, entry.uid, entry.gid)
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            # On its way to the disk at once, and out of the memory that the database needs: all of it at the
            # end would hold everything up.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if digest.hexdigest() == entry.sha256:
            return True
        place.unlink()
        return False

    def _place(self, path: bytes) -> Path:
        name, _, rest = path.partition(b"/")
        staged = self._roots[text_of(name)] / (STAGED + self._id)
        return Path(os.fsdecode(os.path.join(os.fsencode(staged), rest))) if rest else staged  # noqa: PTH118
