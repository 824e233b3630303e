"""The scan: app-data as the running backup finds it, walked twice, kept in a table beside the catalogue.

Two walks make a union: what the second one no longer finds stays as the first one found it. A file whose
size, times or inode differ from the walk before has no pack any more, until its content has been looked at.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loomio_backup.backup import appdata
from loomio_backup.backup.appdata import Looks, Roots, ScanEntry, Totals, text_of
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import SourceContent
from loomio_backup.progress import Ticker

_BATCH = 1000
APP_DATA_BYTES = "app_data_bytes"
"""Where the catalogue notes how much the last scan found: for the estimate of the first copy in a store."""


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
        self.vanished = 0
        """Files that were found and then gone before they could be read: they are not in the backup."""
        self._changed: set[bytes] = set()
        with catalogue.transaction() as database:
            for table in ("scan", "found", "before"):
                database.execute(f"DROP TABLE IF EXISTS temp.{table}")
                database.execute(f"CREATE TEMP TABLE {table} {_TABLE}")

    def walk(self) -> Differences:
        """One pass over all sources. Raises SourceError for what cannot be read."""
        ticker = Ticker("app-data")
        seen = 0
        self.skipped.clear()
        self._catalogue.database.execute("DELETE FROM temp.found")
        batch: list[Looks] = []
        for name, root in sorted(self.roots.items()):
            for looks in appdata.walk(os.fsencode(name), os.fsencode(root), self._skip):
                batch.append(looks)
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

    def set_packed(
        self, packed: Sequence[ScanEntry], vanished: Sequence[bytes] = (), changed: Sequence[bytes] = ()
    ) -> None:
        """Record what a pack really holds, and which of its files did not hold still while they were read. A
        file that was gone before it could be is as the walk before had it, if that one's is in a pack.
        """
        with self._catalogue.transaction() as database:
            database.executemany(_REPLACE, packed)
            for path in vanished:
                database.execute("DELETE FROM temp.scan WHERE path = ?", (path,))
                kept = database.execute(_AS_BEFORE, (path,))
                self.vanished += 1 - kept.rowcount
        if self._changed:
            self._changed.difference_update(entry.path for entry in packed)
        self._changed.update(changed)

    @property
    def changed(self) -> list[str]:
        """Paths of files that never held still: the backup holds one of their states."""
        return sorted(text_of(path) for path in self._changed)

    def packs(self) -> list[str]:
        """The packs that hold the files, each once."""
        rows = self._catalogue.database.execute(
            "SELECT DISTINCT pack FROM temp.scan WHERE type = 'file' ORDER BY pack"
        )
        return [pack for (pack,) in rows]

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
        return list(map(ScanEntry._make, rows))

    def _skip(self, path: bytes) -> None:
        self.skipped.append(text_of(path))

    def _note(self, batch: Sequence[Looks]) -> None:
        with self._catalogue.transaction() as database:
            database.executemany(_NOTE, batch)

    def _merge(self) -> Differences:
        """Take what this walk found into the union of all walks."""
        with self._catalogue.transaction() as database:
            (files,) = database.execute("SELECT count(*) FROM temp.found WHERE type = 'file'").fetchone()
            known, same, changed = database.execute(_COMPARED).fetchone()
            replaced = database.execute(
                "SELECT f.path FROM temp.found f JOIN temp.scan s ON s.path = f.path "
                "WHERE s.type = 'dir' AND f.type <> 'dir'"
            ).fetchall()
            for (path,) in replaced:
                database.execute("DELETE FROM temp.scan WHERE path > ? AND path < ?", _below(path))
            database.execute("DELETE FROM temp.before")
            database.execute(_KEEP)
            database.execute(_MERGE)
            database.execute("DELETE FROM temp.found")
        return Differences(appeared=files - same - changed, changed=changed, vanished=known - same - changed)


_TABLE = """(
    path BLOB PRIMARY KEY, type TEXT NOT NULL, size INTEGER NOT NULL, mode INTEGER NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, target BLOB, sha256 TEXT, pack TEXT
) WITHOUT ROWID"""
_COLUMNS = "path, type, size, mode, uid, gid, mtime_ns, ctime_ns, inode, target, sha256, pack"
_REPLACE = f"INSERT OR REPLACE INTO temp.scan ({_COLUMNS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608
# A name can be listed twice when it is replaced meanwhile; what was listed as a directory stays one, because
# entries below it may have been found.
_NOTE = f"""
INSERT INTO temp.found ({_COLUMNS}) VALUES ({", ".join("?" * 10)}, NULL, NULL)
ON CONFLICT (path) DO UPDATE SET
    (type, size, mode, uid, gid, mtime_ns, ctime_ns, inode, target) = (
        excluded.type, excluded.size, excluded.mode, excluded.uid, excluded.gid, excluded.mtime_ns,
        excluded.ctime_ns, excluded.inode, excluded.target)
    WHERE type <> 'dir'
"""  # noqa: S608 - written in this file
# Whatever else changes (mode, owner), the kernel sets ctime.
_SAME_TIMES = "s.size = f.size AND s.mtime_ns = f.mtime_ns AND s.ctime_ns = f.ctime_ns"
_SAME = f"(s.type = f.type AND {_SAME_TIMES} AND s.inode = f.inode)"
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
# The packed states of files that look different now, should these be gone before anybody can read them.
_KEEP = f"""
INSERT INTO temp.before SELECT s.* FROM temp.scan s JOIN temp.found f ON f.path = s.path
WHERE s.pack IS NOT NULL AND f.type = 'file' AND NOT {_SAME}
"""  # noqa: S608 - written in this file
_AS_BEFORE = "INSERT INTO temp.scan SELECT * FROM temp.before WHERE path = ?"


def _below(path: bytes) -> tuple[bytes, bytes]:
    """Between which two paths everything below this one lies: "0" follows "/"."""
    return path + b"/", path + b"0"
