"""The agent's memory (SQLite): lineage, manifests seen, objects and where they are, which pack holds which
file.

It can be lost without losing a backup: everything that matters is in the stores. Then the manifests are read
again, and whose backups they are is decided anew (lineage.py): a Pi whose database holds data goes on with
the stores' history as its next generation; one without is refused, as a new Pi would be. What is gone for
good is the record of objects and files: their ids in Drive, and how each file looked when it was packed.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loomio_backup.errors import CatalogueError
from loomio_backup.manifest import Manifest, ObjectEntry, parse, payload_of
from loomio_backup.stores.base import StoredObject

_FIRST = """
CREATE TABLE lineage (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    instance TEXT NOT NULL, generation INTEGER NOT NULL, sequence INTEGER NOT NULL, previous TEXT
);
-- Manifests that were verified; the hashes say whether an object in a store is this very one.
CREATE TABLE manifests (
    object TEXT PRIMARY KEY, stored_sha256 TEXT NOT NULL, stored_md5 TEXT NOT NULL,
    name TEXT NOT NULL, instance TEXT NOT NULL, generation INTEGER NOT NULL, sequence INTEGER NOT NULL,
    snapshot_at TEXT NOT NULL, stored_bytes INTEGER NOT NULL, payload TEXT NOT NULL
);
-- Objects that this Pi wrote.
CREATE TABLE objects (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, entry TEXT NOT NULL, written_at TEXT NOT NULL
);
-- Which store confirmed to hold which object; id is Drive's.
CREATE TABLE stored (
    store TEXT NOT NULL, object TEXT NOT NULL, id TEXT, confirmed_at TEXT NOT NULL,
    PRIMARY KEY (store, object)
) WITHOUT ROWID;
-- What each pack holds, and how each file looked when it was read.
CREATE TABLE packed (
    path BLOB NOT NULL, pack TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (path, pack)
) WITHOUT ROWID;
-- App-data as the running backup finds it. Paths are the bytes that the kernel gives.
CREATE TABLE scan (
    path BLOB PRIMARY KEY, type TEXT NOT NULL, size INTEGER NOT NULL, mode INTEGER NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, target BLOB, sha256 TEXT, pack TEXT
) WITHOUT ROWID;
"""
_SECOND = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- An object is `sending` from before its upload until the store confirmed it; `session` is the address of an
-- unfinished upload, a secret.
ALTER TABLE stored ADD COLUMN state TEXT NOT NULL DEFAULT 'confirmed';
ALTER TABLE stored ADD COLUMN session TEXT;
-- Every run of a verb that changes something; outcome is running, complete, partial (some store lacks it) or
-- failed.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, verb TEXT NOT NULL, pid INTEGER NOT NULL, started_at TEXT NOT NULL,
    finished_at TEXT, outcome TEXT NOT NULL, backup TEXT, error TEXT
);
-- Backups that were removed from a store on purpose, so that only the others count as missing. `done` is 0
-- until all that only they needed is gone too.
CREATE TABLE removals (
    store TEXT NOT NULL, backup TEXT NOT NULL, generation INTEGER NOT NULL, sequence INTEGER NOT NULL,
    removed_at TEXT NOT NULL, reason TEXT NOT NULL, done INTEGER NOT NULL,
    PRIMARY KEY (store, backup)
) WITHOUT ROWID;
-- Objects that nothing refers to, since when (by the store's clock); id is '' where names are enough.
CREATE TABLE marks (
    store TEXT NOT NULL, object TEXT NOT NULL, id TEXT NOT NULL, marked_at TEXT NOT NULL,
    PRIMARY KEY (store, object, id)
) WITHOUT ROWID;
-- Restores for proof.
CREATE TABLE drills (
    store TEXT NOT NULL, backup TEXT NOT NULL, finished_at TEXT NOT NULL, passed INTEGER NOT NULL,
    PRIMARY KEY (store, backup, finished_at)
) WITHOUT ROWID;
-- Open alarms: since when, when last told.
CREATE TABLE alarms (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, since TEXT NOT NULL, told_at TEXT
) WITHOUT ROWID;
-- How full a store was, for the forecast: at most one row a day.
CREATE TABLE space (
    store TEXT NOT NULL, day TEXT NOT NULL, used INTEGER NOT NULL, total INTEGER,
    PRIMARY KEY (store, day)
) WITHOUT ROWID;
CREATE INDEX packed_by_pack ON packed (pack);
"""
_MIGRATIONS = (_FIRST, _SECOND)
"""Each brings the schema from the version of its position to the next one; none is ever changed."""
_SUMMARY = "name, instance, generation, sequence, snapshot_at, stored_bytes"


@dataclass(frozen=True)
class Lineage:
    """Whose backups these are: instance (random hex), generation, and the last published sequence number."""

    instance: str
    generation: int
    sequence: int
    previous: str | None


@dataclass(frozen=True)
class Summary:
    """What choosing a backup needs to know; `load` gives the rest."""

    name: str
    instance: str
    generation: int
    sequence: int
    snapshot_at: datetime
    stored_bytes: int

    @property
    def order(self) -> tuple[int, int]:
        """What "newest" means."""
        return self.generation, self.sequence


class _Database(sqlite3.Connection):
    """A connection whose errors are sentences, whichever module uses it."""

    path = Path()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        with _told(self.path):
            return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        with _told(self.path):
            return super().executemany(*arguments)

    def executescript(self, *arguments: Any) -> sqlite3.Cursor:
        with _told(self.path):
            return super().executescript(*arguments)


class Catalogue:
    """The open catalogue. `database` is shared with appdata.py, which owns the table `scan`."""

    def __init__(self, path: Path) -> None:
        # One thread at a time uses it, but not always the one that opened it: objects are produced in a
        # stage's thread while the main thread waits.
        with _told(path):
            self.database = sqlite3.connect(
                path, timeout=30, check_same_thread=False, isolation_level=None, factory=_Database
            )
        self.database.path = path
        try:
            self._prepare(path)
        except BaseException:
            self.database.close()
            raise

    def _prepare(self, path: Path) -> None:
        path.chmod(0o600)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        version = self.database.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_MIGRATIONS):
            raise CatalogueError(
                f"the catalogue {path} was written by a newer version of this program. "
                "Nothing was done. Install that version again."
            )
        for number, statements in enumerate(_MIGRATIONS[version:], start=version + 1):
            self.database.executescript(f"BEGIN; {statements} PRAGMA user_version = {number}; COMMIT;")

    def __enter__(self) -> "Catalogue":
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; also much faster than single statements."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield self.database
            self.database.execute("COMMIT")
        except BaseException:
            # After some errors (a full disk among them) SQLite has rolled back by itself.
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise

    def lineage(self) -> Lineage | None:
        """Whose backups this Pi makes, or None before its first one."""
        row = self.database.execute("SELECT instance, generation, sequence, previous FROM lineage").fetchone()
        return None if row is None else Lineage(*row)

    def set_lineage(self, lineage: Lineage) -> None:
        """Remember the lineage, durably."""
        self.database.execute(
            "INSERT OR REPLACE INTO lineage VALUES (1, ?, ?, ?, ?)",
            (lineage.instance, lineage.generation, lineage.sequence, lineage.previous),
        )

    def add_manifest(self, manifest: Manifest, stored_sha256: str, stored_md5: str) -> Summary:
        """Remember a manifest that was written here or verified."""
        self.database.execute(
            "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                manifest.manifest_name,
                stored_sha256,
                stored_md5,
                manifest.name,
                manifest.instance,
                manifest.generation,
                manifest.sequence,
                manifest.snapshot_at.isoformat(),
                manifest.stored_bytes,
                payload_of(manifest),
            ),
        )
        return self._summaries("object = ?", manifest.manifest_name)[0]

    def known_manifest(self, stored: StoredObject) -> Summary | None:
        """The manifest that this object of a store is, if its hash shows that we know it already."""
        if stored.sha256 is not None:
            found = self._summaries("object = ? AND stored_sha256 = ?", stored.name, stored.sha256)
        elif stored.md5 is not None:
            found = self._summaries("object = ? AND stored_md5 = ?", stored.name, stored.md5)
        else:
            return None
        return found[0] if found else None

    def load(self, summary: Summary) -> Manifest:
        """The whole manifest of a backup."""
        row = self.database.execute(
            "SELECT payload, object FROM manifests WHERE name = ?", (summary.name,)
        ).fetchone()
        if row is None:
            raise CatalogueError(f"the catalogue does not know the backup {summary.name}.")
        return parse(*row)

    def add_object(self, entry: ObjectEntry) -> None:
        """Remember an object that was written."""
        self.database.execute(
            "INSERT INTO objects VALUES (?, ?, ?, ?)",
            (entry.name, entry.kind, entry.model_dump_json(), _now()),
        )

    def add_stored(self, store: str, stored: StoredObject) -> None:
        """Remember that a store confirmed an object."""
        self.database.execute(
            "INSERT OR REPLACE INTO stored (store, object, id, confirmed_at) VALUES (?, ?, ?, ?)",
            (store, stored.name, stored.id, _now()),
        )

    def add_packed(self, rows: Iterable[Sequence[object]]) -> None:
        """Remember what a pack holds: (path, pack, size, mtime_ns, ctime_ns, inode, sha256) per file."""
        self.database.executemany("INSERT OR REPLACE INTO packed VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _summaries(self, condition: str, *values: str) -> list[Summary]:
        query = f"SELECT {_SUMMARY} FROM manifests WHERE {condition}"  # noqa: S608 - written in this file
        return [
            Summary(name, instance, generation, sequence, datetime.fromisoformat(snapshot_at), stored_bytes)
            for name, instance, generation, sequence, snapshot_at, stored_bytes in self.database.execute(
                query, values
            )
        ]


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a CatalogueError; mistakes in our own statements stay what they are."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
        raise
    except sqlite3.Error as error:
        raise CatalogueError(
            f"the catalogue {path} cannot be used ({error}). The backups in the stores are untouched. "
            f"{_remedy(path, error)}"
        ) from error


def _remedy(path: Path, error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")  # absent where the module itself complains
    if name.startswith("SQLITE_FULL"):
        return "Make room on its disk, then run the same again."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "Another program holds it open; run the same again when that has ended."
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"Move {path} (and {path}-wal, {path}-shm) away, then run the same again: it is made anew."
    return "Check that its disk is healthy, writable and has room, then run the same again."


def _now() -> str:
    return datetime.now(UTC).isoformat()
