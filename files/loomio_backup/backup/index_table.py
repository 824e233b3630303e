"""An index as a table in a scratch file: it may not fit into memory, and packs ask for their files in an
order of their own.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loomio_backup.backup.appdata import ScanEntry, Totals, text_of
from loomio_backup.errors import DamagedObject

_SCHEMA = """
CREATE TABLE entries (
    path BLOB PRIMARY KEY, type TEXT NOT NULL, size INTEGER NOT NULL, mode INTEGER NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, target BLOB,
    sha256 TEXT, pack TEXT, done INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX by_pack ON entries (pack, done);
"""
_COLUMNS = "path, type, size, mode, uid, gid, mtime_ns, target, sha256, pack"


class IndexTable:
    """The entries of one index, and which of its files have been had already. For one thread at a time."""

    def __init__(self, scratch: Path) -> None:
        self._database = sqlite3.connect(scratch, isolation_level=None, check_same_thread=False)
        # "a/b" comes before "a b", as it does in a walk.
        self._database.create_function(
            "in_tree", 1, lambda path: path.replace(b"/", b"\0"), deterministic=True
        )
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)

    def close(self) -> None:
        """Let go of the scratch file."""
        self._database.close()

    def load(self, entries: Iterable[ScanEntry]) -> None:
        """Take the entries of an index in."""
        with self.transaction():
            self._database.executemany(
                f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    (e.path, e.type, e.size, e.mode, e.uid, e.gid, e.mtime_ns, e.target, e.sha256, e.pack)
                    for e in entries
                ),
            )

    def packs(self) -> list[str]:
        """The packs that hold files of this index, in the order of their first paths."""
        rows = self._database.execute(
            "SELECT pack FROM entries WHERE type = 'file' GROUP BY pack ORDER BY min(path)"
        )
        return [name for (name,) in rows]

    def wanted(self, pack: str, path: bytes) -> ScanEntry | None:
        """The file of this path, if it is to come from this pack and has not been had yet."""
        found = list(self._select("path = ? AND pack = ? AND done = 0", path, pack))
        return found[0] if found else None

    def had(self, entry: ScanEntry) -> None:
        """Note that a file came out of its pack as it should be."""
        self._database.execute("UPDATE entries SET done = 1 WHERE path = ?", (entry.path,))

    def require_all_of(self, pack: str) -> None:
        """Raise DamagedObject when a pack did not have all that it should."""
        left = self._database.execute(
            "SELECT path FROM entries WHERE pack = ? AND done = 0 LIMIT 1", (pack,)
        ).fetchone()
        if left is not None:
            raise DamagedObject(f"{pack} does not hold {text_of(left[0])} as the index describes it.")

    def files(self) -> Iterator[ScanEntry]:
        """Every file."""
        return self._select("type = 'file' ORDER BY path")

    def symlinks(self) -> Iterator[ScanEntry]:
        """Every symlink."""
        return self._select("type = 'symlink' ORDER BY path")

    def directories(self, *, deepest_first: bool = False) -> Iterator[ScanEntry]:
        """Every directory, those above before those below, or the other way round."""
        return self._select(f"type = 'dir' ORDER BY path {'DESC' if deepest_first else ''}")

    def all_but_files(self) -> Iterator[ScanEntry]:
        """Every directory and symlink, what is in a directory right after it."""
        return self._select("type <> 'file' ORDER BY in_tree(path)")

    def bytes_below(self, source: bytes) -> int:
        """Bytes of the files of one source."""
        row = self._database.execute(
            "SELECT coalesce(sum(size), 0) FROM entries WHERE path > ? AND path < ?",
            (source + b"/", source + b"0"),
        ).fetchone()
        return int(row[0])

    def totals(self) -> Totals:
        """How much there is."""
        rows = self._database.execute("SELECT type, count(*), sum(size) FROM entries GROUP BY type")
        found = {kind: (count, size) for kind, count, size in rows}
        files, size = found.get("file", (0, 0))
        return Totals(files, found.get("dir", (0, 0))[0], found.get("symlink", (0, 0))[0], size)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Faster than single statements; after a failure the table is of no use any more."""
        self._database.execute("BEGIN")
        yield
        self._database.execute("COMMIT")

    def _select(self, condition: str, *values: object) -> Iterator[ScanEntry]:
        # The conditions are written in this file.
        query = f"SELECT {_COLUMNS} FROM entries WHERE {condition}"  # noqa: S608
        for path, kind, size, mode, uid, gid, mtime_ns, target, sha256, pack in self._database.execute(
            query, values
        ):
            yield ScanEntry(path, kind, size, mode, uid, gid, mtime_ns, 0, 0, target, sha256, pack)
