"""Which files there are: app-data as one tree, walked twice, kept in the catalogue's table `scan`.

The first component of every path is the source's name (`storage/ab/cd/key`), the rest is the path below the
mount. Two passes make a union: what the second one no longer finds stays as the first one found it. A file
whose size, times or inode differ from the last pass is marked for packing again. Paths are bytes throughout.
"""

# ruff: noqa: PTH115, PTH118
# pathlib decodes every name; these functions leave bytes alone.

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loomio_backup import docker
from loomio_backup.catalogue import Catalogue
from loomio_backup.config import AppDataSource
from loomio_backup.errors import SourceError
from loomio_backup.manifest import SourceContent
from loomio_backup.progress import Ticker

OWN_PREFIX = b".loomio-"
"""Names in a mount's root that are ours (a restore's staging and what it moved aside), never app-data."""
_LOST_AND_FOUND = b"lost+found"
_BATCH = 1000

Roots = Mapping[str, Path]
"""The directory of each source, by the source's name."""


@dataclass(frozen=True)
class ScanEntry:
    """One line of the scan. `type` is file, dir or symlink; `target` is a symlink's."""

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


@dataclass(frozen=True)
class Differences:
    """How many files a walk found new, changed or gone since the walk before; the first finds all new."""

    appeared: int
    changed: int
    vanished: int


class Scan:
    """The table `scan` of the running backup: a temporary one, because the next backup looks anew."""

    def __init__(self, catalogue: Catalogue, roots: Roots) -> None:
        self._catalogue = catalogue
        self.roots = roots
        self.skipped: list[str] = []
        """Paths of sockets, pipes and devices: they have no content to keep."""
        with catalogue.transaction() as database:
            for table in ("scan", "found"):
                database.execute(f"DROP TABLE IF EXISTS temp.{table}")
                database.execute(f"CREATE TEMP TABLE {table} {_TABLE}")

    def walk(self) -> Differences:
        """One pass over all sources. Raises SourceError for what cannot be read."""
        ticker = Ticker("app-data")
        seen = 0
        self.skipped.clear()
        self._catalogue.database.execute("DELETE FROM temp.found")
        batch: list[ScanEntry] = []
        for name, root in sorted(self.roots.items()):
            for entry in self._entries(os.fsencode(name), os.fsencode(root)):
                batch.append(entry)
                if len(batch) == _BATCH:
                    self._note(batch)
                    seen += len(batch)
                    batch = []
                    ticker.tick(f"{seen} entries found")
        self._note(batch)
        return self._merge()

    def unpacked(self, after: bytes) -> Iterator[ScanEntry]:
        """Files whose content is in no pack yet, in order of path; `after` is the last one already seen."""
        while rows := self.select(
            "type = 'file' AND pack IS NULL AND path > ? ORDER BY path LIMIT ?", after, _BATCH
        ):
            yield from rows
            after = rows[-1].path

    def entries(self) -> Iterator[ScanEntry]:
        """Everything, in order of path."""
        after = b""
        while rows := self.select("path > ? ORDER BY path LIMIT ?", after, _BATCH):
            yield from rows
            after = rows[-1].path

    def has_file(self, path: bytes) -> bool:
        """Whether a regular file of this path is known."""
        return bool(self.select("type = 'file' AND path = ? LIMIT ?", path, 1))

    def set_packed(self, packed: Sequence[ScanEntry], vanished: Sequence[bytes]) -> None:
        """Record what a pack really holds, and forget files that were gone before they could be read."""
        with self._catalogue.transaction() as database:
            database.executemany(_REPLACE, (_row(entry) for entry in packed))
            database.executemany("DELETE FROM temp.scan WHERE path = ?", ((path,) for path in vanished))

    def totals(self) -> Totals:
        """Count what is known now."""
        rows = self._catalogue.database.execute(
            "SELECT type, count(*), sum(size) FROM temp.scan GROUP BY type"
        )
        found = {kind: (count, size) for kind, count, size in rows}
        files, size = found.get("file", (0, 0))
        return Totals(files, found.get("dir", (0, 0))[0], found.get("symlink", (0, 0))[0], size)

    def totals_by_source(self) -> dict[str, SourceContent]:
        """Files and their bytes, by the source's name."""
        totals = {}
        for name in sorted(self.roots):
            files, size = self._catalogue.database.execute(
                "SELECT count(*), coalesce(sum(size), 0) FROM temp.scan "
                "WHERE type = 'file' AND path > ? AND path < ?",
                _below(os.fsencode(name)),
            ).fetchone()
            totals[name] = SourceContent(files=files, bytes=size)
        return totals

    def select(self, condition: str, *values: object) -> list[ScanEntry]:
        """The rows that an SQL condition (written in this program, with its values) selects."""
        query = f"SELECT {_COLUMNS} FROM temp.scan AS scan WHERE {condition}"  # noqa: S608
        rows = self._catalogue.database.execute(query, values)
        return [ScanEntry(*row) for row in rows]

    def _entries(self, name: bytes, root: bytes) -> Iterator[ScanEntry]:
        top = _entry(name, os.lstat(root), None)
        assert top is not None
        yield top
        pending = [b""]
        while pending:
            below = pending.pop()
            place = os.path.join(root, below)
            try:
                with os.scandir(place) as listing:
                    for item in listing:
                        if not below and is_reserved(item.name):
                            continue
                        relative = os.path.join(below, item.name)
                        entry = self._entry(os.path.join(name, relative), item)
                        if entry is None:
                            continue
                        if entry.type == "dir":
                            pending.append(relative)
                        yield entry
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise unreadable(place, error) from error

    def _entry(self, path: bytes, item: "os.DirEntry[bytes]") -> ScanEntry | None:
        try:
            status = item.stat(follow_symlinks=False)
            target = os.readlink(item.path) if stat.S_ISLNK(status.st_mode) else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(item.path, error) from error
        entry = _entry(path, status, target)
        if entry is None:
            self.skipped.append(text_of(path))
        return entry

    def _note(self, batch: Sequence[ScanEntry]) -> None:
        with self._catalogue.transaction() as database:
            database.executemany(_NOTE, (_row(entry)[:_LOOKS] for entry in batch))

    def _merge(self) -> Differences:
        """Take what this walk found into the union of all walks."""
        with self._catalogue.transaction() as database:
            known, same, changed = database.execute(_COMPARED).fetchone()
            replaced = database.execute(
                "SELECT f.path FROM temp.found f JOIN temp.scan s ON s.path = f.path "
                "WHERE s.type = 'dir' AND f.type <> 'dir'"
            ).fetchall()
            for (path,) in replaced:
                database.execute("DELETE FROM temp.scan WHERE path > ? AND path < ?", _below(path))
            database.execute(_MERGE)
            (files,) = database.execute("SELECT count(*) FROM temp.found WHERE type = 'file'").fetchone()
            database.execute("DELETE FROM temp.found")
        return Differences(appeared=files - same - changed, changed=changed, vanished=known - same - changed)


_TABLE = """(
    path BLOB PRIMARY KEY, type TEXT NOT NULL, size INTEGER NOT NULL, mode INTEGER NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, target BLOB, sha256 TEXT, pack TEXT
) WITHOUT ROWID"""
_COLUMNS = "path, type, size, mode, uid, gid, mtime_ns, ctime_ns, inode, target, sha256, pack"
_LOOKS = 10
"""How many of the columns a walk can tell."""
_REPLACE = f"INSERT OR REPLACE INTO temp.scan ({_COLUMNS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608
# A name can be listed twice when it is replaced meanwhile; what was listed as a directory stays one, because
# entries below it may have been found.
_NOTE = f"""
INSERT INTO temp.found ({_COLUMNS}) VALUES ({", ".join("?" * _LOOKS)}, NULL, NULL)
ON CONFLICT (path) DO UPDATE SET
    (type, size, mode, uid, gid, mtime_ns, ctime_ns, inode, target) = (
        excluded.type, excluded.size, excluded.mode, excluded.uid, excluded.gid, excluded.mtime_ns,
        excluded.ctime_ns, excluded.inode, excluded.target)
    WHERE type <> 'dir'
"""  # noqa: S608 - written in this file
_SAME_TIMES = "s.size = f.size AND s.mtime_ns = f.mtime_ns AND s.ctime_ns = f.ctime_ns"
_SAME = f"(f.type = 'file' AND s.type = 'file' AND {_SAME_TIMES} AND s.inode = f.inode)"
# Files that were known, those that look the same, and those that do not. Inode 0: see filereading.py.
_COMPARED = f"""
SELECT (SELECT count(*) FROM temp.scan WHERE type = 'file'),
       coalesce(sum({_SAME_TIMES} AND s.inode IN (f.inode, 0)), 0),
       coalesce(sum(NOT ({_SAME_TIMES} AND s.inode IN (f.inode, 0))), 0)
FROM temp.found f JOIN temp.scan s ON s.path = f.path WHERE f.type = 'file' AND s.type = 'file'
"""  # noqa: S608 - written in this file
_MERGE = f"""
INSERT OR REPLACE INTO temp.scan ({_COLUMNS})
SELECT f.* FROM temp.found f LEFT JOIN temp.scan s ON s.path = f.path
WHERE s.path IS NULL OR NOT {_SAME}
"""  # noqa: S608 - written in this file


def _below(path: bytes) -> tuple[bytes, bytes]:
    """Between which two paths everything below this one lies: "0" follows "/"."""
    return path + b"/", path + b"0"


def _row(entry: ScanEntry) -> tuple[object, ...]:
    return (
        *(entry.path, entry.type, entry.size, entry.mode, entry.uid, entry.gid, entry.mtime_ns),
        *(entry.ctime_ns, entry.inode, entry.target, entry.sha256, entry.pack),
    )


def _entry(path: bytes, status: os.stat_result, target: bytes | None) -> ScanEntry | None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "dir"
    elif stat.S_ISLNK(mode):
        kind = "symlink"
    else:
        return None
    return ScanEntry(
        path=path,
        type=kind,
        size=status.st_size if kind == "file" else 0,
        mode=stat.S_IMODE(mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        target=target,
    )
