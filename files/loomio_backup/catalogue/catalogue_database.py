"""The catalogue's connection: its errors are sentences, and several threads may use it at a time."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loomio_backup.catalogue.catalogue_schema import MIGRATIONS
from loomio_backup.errors import CatalogueError


class Database(sqlite3.Connection):
    """Statements of several threads, one after the other. Whatever another thread does while one is in a
    transaction waits for its end: it would be part of it.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.lock = threading.RLock()
        super().__init__(path, **options)

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Like sqlite3's."""
        with self.lock, told(self.path):
            return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """Like sqlite3's."""
        with self.lock, told(self.path):
            return super().executemany(*arguments)

    def executescript(self, *arguments: Any) -> sqlite3.Cursor:
        """Like sqlite3's."""
        with self.lock, told(self.path):
            return super().executescript(*arguments)

    @contextlib.contextmanager
    def transaction(self) -> Iterator["Database"]:
        """All or nothing; also much faster than single statements. Inside another transaction of the same
        thread it is a part of that one.
        """
        with self.lock:
            if self.in_transaction:
                yield self
                return
            self.execute("BEGIN IMMEDIATE")
            try:
                yield self
                self.execute("COMMIT")
            except BaseException:
                # After some errors (a full disk among them) SQLite has rolled back by itself.
                if self.in_transaction:
                    self.execute("ROLLBACK")
                raise


def open_database(path: Path) -> Database:
    """The database at `path` with its tables, made when absent, mode 0600. Raises CatalogueError."""
    with told(path):
        # Each object is produced and sent by threads of its own, so not only the opening one uses it.
        database = Database(path, timeout=30, check_same_thread=False, isolation_level=None)
    try:
        _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: Database) -> None:
    database.path.chmod(0o600)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise CatalogueError(
            f"the catalogue {database.path} was written by a newer version of this program. "
            "Nothing was done. Install that version again."
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        database.executescript(f"BEGIN; {statements} PRAGMA user_version = {number}; COMMIT;")


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
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
