"""App-data comes back inside each mount's own root, in a directory beside the live files, checked file by
file.

Staging inside the root keeps the later switch a matter of renames. Files are written from packs as they
stream by, and believed when their hash is the index's; links and the directories' own modes come last, so
that nothing is ever written through a link.
"""

import hashlib
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from loomio_backup import room
from loomio_backup.appdata import OWN_PREFIX, ScanEntry, Totals, bytes_of, text_of
from loomio_backup.errors import DamagedObject, RestoreError
from loomio_backup.index import read_index

STAGED = OWN_PREFIX.decode() + "restore-"
_READ = 256 << 10

_SCHEMA = """
CREATE TABLE entries (
    path BLOB PRIMARY KEY, type TEXT NOT NULL, size INTEGER NOT NULL, mode INTEGER NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, target BLOB,
    sha256 TEXT, pack TEXT, done INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX by_pack ON entries (pack, done);
"""
_COLUMNS = "path, type, size, mode, uid, gid, mtime_ns, target, sha256, pack"


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
        self._database = sqlite3.connect(scratch, isolation_level=None)
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)

    def close(self) -> None:
        """Let go of the scratch file."""
        self._database.close()

    def load(self, index: BinaryIO) -> None:
        """Take the index in. Raises RestoreError for a source that this Pi does not have."""
        with self._transaction():
            for entry in read_index(index):
                name = text_of(entry.path.partition(b"/")[0])
                if name not in self._roots:
                    raise RestoreError(
                        f"the backup holds the app-data {name}, but the configuration does not say where it "
                        "belongs. Nothing was changed. Add it to app_data in the settings and try again."
                    )
                self._database.execute(
                    f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                    (
                        *(entry.path, entry.type, entry.size, entry.mode, entry.uid, entry.gid),
                        *(entry.mtime_ns, entry.target, entry.sha256, entry.pack),
                    ),
                )

    def require_space(self) -> None:
        """Raise RestoreError when a disk cannot take the files beside what it holds."""
        needs = {}
        for name, root in self._roots.items():
            below = (bytes_of(name) + b"/", bytes_of(name) + b"0")
            needs[root] = self._database.execute(
                "SELECT coalesce(sum(size), 0) FROM entries WHERE path > ? AND path < ?", below
            ).fetchone()[0]
        room.require_restore("the app-data", needs)

    def prepare(self) -> None:
        """Make the staging directories, closed to everybody else until the switch."""
        for name in self._roots:
            self._place(bytes_of(name)).mkdir(mode=0o700)
        for (path,) in self._database.execute("SELECT path FROM entries WHERE type = 'dir' ORDER BY path"):
            self._place(path).mkdir(mode=0o700, parents=True, exist_ok=True)

    def packs(self) -> list[str]:
        """The packs that hold files of this backup."""
        rows = self._database.execute(
            "SELECT pack FROM entries WHERE type = 'file' GROUP BY pack ORDER BY min(path)"
        )
        return [name for (name,) in rows]

    def extract(self, pack: str, source: BinaryIO) -> None:
        """Write the files of one pack. Raises DamagedObject when one is missing or another."""
        with self._transaction():
            try:
                self._extract(pack, source)
            except tarfile.TarError as error:
                raise DamagedObject(f"{pack} is not a readable tar ({error}).") from error
        left = self._database.execute(
            "SELECT path FROM entries WHERE pack = ? AND done = 0 LIMIT 1", (pack,)
        ).fetchone()
        if left is not None:
            raise DamagedObject(f"{pack} does not hold {text_of(left[0])} as the index describes it.")

    def finish(self) -> Totals:
        """Links, then modes, owners and times of directories, deepest first; everything on the disk
        afterwards.
        """
        for path, target, uid, gid, mtime_ns in self._database.execute(
            "SELECT path, target, uid, gid, mtime_ns FROM entries WHERE type = 'symlink'"
        ):
            link = self._place(path)
            link.symlink_to(os.fsdecode(target))
            os.chown(link, uid, gid, follow_symlinks=False)
            os.utime(link, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
        for path, mode, uid, gid, mtime_ns in self._database.execute(
            "SELECT path, mode, uid, gid, mtime_ns FROM entries WHERE type = 'dir' ORDER BY path DESC"
        ):
            place = self._place(path)
            os.chown(place, uid, gid)
            place.chmod(mode)
            os.utime(place, ns=(mtime_ns, mtime_ns))
        os.sync()
        rows = self._database.execute("SELECT type, count(*), sum(size) FROM entries GROUP BY type")
        found = {kind: (count, size) for kind, count, size in rows}
        files, size = found.get("file", (0, 0))
        return Totals(files, found.get("dir", (0, 0))[0], found.get("symlink", (0, 0))[0], size)

    def _extract(self, pack: str, source: BinaryIO) -> None:
        with tarfile.open(
            fileobj=source, mode="r|", bufsize=1 << 20, encoding="utf-8", errors="surrogateescape"
        ) as tar:
            while (member := tar.next()) is not None:
                # A stream needs no list of what went by, and it would grow with the number of files.
                tar.members.clear()  # type: ignore[attr-defined]
                entry = self._wanted(pack, bytes_of(member.name))
                if entry is None or not member.isreg():
                    continue
                content = tar.extractfile(member)
                assert content is not None
                if self._write(entry, content):
                    self._database.execute("UPDATE entries SET done = 1 WHERE path = ?", (entry.path,))

    def _wanted(self, pack: str, path: bytes) -> ScanEntry | None:
        row = self._database.execute(
            "SELECT path, type, size, mode, uid, gid, mtime_ns, sha256 FROM entries "
            "WHERE path = ? AND pack = ? AND done = 0",
            (path, pack),
        ).fetchone()
        if row is None:
            return None
        path, kind, size, mode, uid, gid, mtime_ns, sha256 = row
        return ScanEntry(path, kind, size, mode, uid, gid, mtime_ns, 0, 0, None, sha256, pack)

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
        if digest.hexdigest() == entry.sha256:
            return True
        place.unlink()
        return False

    def _place(self, path: bytes) -> Path:
        name, _, rest = path.partition(b"/")
        staged = self._roots[text_of(name)] / (STAGED + self._id)
        return Path(os.fsdecode(os.path.join(os.fsencode(staged), rest))) if rest else staged  # noqa: PTH118

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        yield
        self._database.execute("COMMIT")
