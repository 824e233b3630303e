"""The agent's memory (SQLite): lineage, manifests seen, objects and where they are, which pack holds which
file.

It can be lost without losing a backup: everything that matters is in the stores. Then the manifests are read
again, and whose backups they are is decided anew (lineage.py): a Pi whose database holds data goes on with
the stores' history as its next generation; one without is refused, as a new Pi would be. What is gone for
good is the record of objects and files: their ids in Drive, and how each file looked when it was packed.
"""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from loomio_backup import clock
from loomio_backup.catalogue.catalogue_database import Database, open_database
from loomio_backup.catalogue.catalogue_objects import ObjectRecords
from loomio_backup.catalogue.manifest import Manifest, parse, payload_of
from loomio_backup.errors import CatalogueError
from loomio_backup.stores.base import StoredObject

_SUMMARY = "name, instance, generation, sequence, snapshot_at, stored_bytes, json_extract(payload, '$.label')"
_RUN = "id, verb, pid, started_at, finished_at, outcome, backup, error"

Outcome = Literal["running", "complete", "partial", "failed"]


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
    label: str | None = None

    @property
    def order(self) -> tuple[int, int]:
        """What "newest" means."""
        return self.generation, self.sequence


@dataclass(frozen=True)
class Run:
    """One run of a verb that changes something. `partial`: its backup is not complete in every store."""

    id: int
    verb: str
    pid: int
    started_at: datetime
    finished_at: datetime | None
    outcome: Outcome
    backup: str | None
    error: str | None


class Catalogue(ObjectRecords):
    """The open catalogue, for any number of threads. `database` is for the modules that own a table:
    incremental.py (`packed`), prune.py (`removals`, `marks`), and others.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(open_database(path))

    def __enter__(self) -> "Catalogue":
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def transaction(self) -> AbstractContextManager[Database]:
        """All or nothing; see Database.transaction."""
        return self.database.transaction()

    # -- what this Pi knows about itself ---------------------------------------------------------------------

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

    def meta(self, key: str) -> str | None:
        """A single fact, such as `frozen`; None when it is not set."""
        row = self.database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, key: str, value: str | None) -> None:
        """Set a single fact; None removes it."""
        if value is None:
            self.database.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self.database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def begin_run(self, verb: str) -> int:
        """Note that a verb has begun; returns the run's id. Only one process at a time may run the same verb:
        an unfinished run of it, or of a process that is gone, was killed and has failed.
        """
        with self.transaction() as database:
            running = database.execute("SELECT id, verb, pid FROM runs WHERE outcome = 'running'").fetchall()
            for id_, other, pid in running:
                if other == verb or not Path(f"/proc/{pid}").exists():
                    self.end_run(id_, "failed", None, "it was killed, or the Pi lost its power")
            cursor = database.execute(
                "INSERT INTO runs (verb, pid, started_at, outcome) VALUES (?, ?, ?, 'running')",
                (verb, os.getpid(), _now()),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def end_run(self, id_: int, outcome: Outcome, backup: str | None, error: str | None) -> None:
        """Note how a run ended: the backup it made, the sentence of its failure."""
        self.database.execute(
            "UPDATE runs SET finished_at = ?, outcome = ?, backup = ?, error = ? WHERE id = ?",
            (_now(), outcome, backup, error, id_),
        )

    def last_run(self, verb: str) -> Run | None:
        """The latest run of a verb, perhaps one that is still going on."""
        row = self.database.execute(
            f"SELECT {_RUN} FROM runs WHERE verb = ? ORDER BY id DESC LIMIT 1",  # noqa: S608
            (verb,),
        ).fetchone()
        if row is None:
            return None
        id_, verb, pid, started_at, finished_at, outcome, backup, error = row
        finished = None if finished_at is None else datetime.fromisoformat(finished_at)
        return Run(id_, verb, pid, datetime.fromisoformat(started_at), finished, outcome, backup, error)

    # -- backups ---------------------------------------------------------------------------------------------

    def add_manifest(self, manifest: Manifest, stored_sha256: str, stored_md5: str) -> Summary:
        """Remember a manifest that was written here or verified, and the objects that it describes."""
        with self.transaction() as database:
            database.execute(
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
            for entry in manifest.objects:
                self.add_object(entry)
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

    def manifest(self, name: str) -> Manifest | None:
        """The manifest of a backup by its name, as far as it is known."""
        row = self.database.execute(
            "SELECT payload, object FROM manifests WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else parse(*row)

    def newest_in(self, store: str) -> Summary | None:
        """The newest backup whose manifest a store confirmed."""
        found = self._summaries(
            "object IN (SELECT object FROM stored WHERE store = ? AND state = 'confirmed')", store
        )
        return max(found, key=lambda summary: summary.order, default=None)

    def manifest_digest(self, object_name: str) -> str | None:
        """The SHA-256 (hex, as stored) of a manifest that was verified, by its object's name."""
        query = "SELECT stored_sha256 FROM manifests WHERE object = ?"
        row = self.database.execute(query, (object_name,)).fetchone()
        return None if row is None else row[0]

    def is_needed(self, name: str) -> bool:
        """Whether a backup that is known, and that not every store has let go, needs this object."""
        query = (
            "SELECT 1 FROM manifests, json_each(manifests.payload, '$.objects') AS entry "
            "WHERE json_extract(entry.value, '$.name') = ? LIMIT 1"
        )
        return self.database.execute(query, (name,)).fetchone() is not None

    def forget_backup(self, name: str) -> None:
        """Forget a backup that no store holds any more."""
        self.database.execute("DELETE FROM manifests WHERE name = ?", (name,))

    def removed_from(self, store: str) -> set[str]:
        """The names of the backups that were removed from a store on purpose."""
        rows = self.database.execute("SELECT backup FROM removals WHERE store = ?", (store,))
        return {name for (name,) in rows}

    def _summaries(self, condition: str, *values: str) -> list[Summary]:
        query = f"SELECT {_SUMMARY} FROM manifests WHERE {condition}"  # noqa: S608 - written in this file
        return [
            Summary(name, instance, generation, sequence, datetime.fromisoformat(snapshot_at), size, label)
            for name, instance, generation, sequence, snapshot_at, size, label in self.database.execute(
                query, values
            )
        ]


def _now() -> str:
    return clock.now().isoformat()
