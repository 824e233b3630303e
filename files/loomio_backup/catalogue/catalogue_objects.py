"""The catalogue's part about objects: which there are, which store holds which, what packs hold."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from loomio_backup import clock
from loomio_backup.catalogue.catalogue_database import Database
from loomio_backup.catalogue.manifest import ObjectEntry, ObjectKind
from loomio_backup.stores.base import StoredObject


@dataclass(frozen=True)
class Believed:
    """What is known about an object in a store, and its id (None where names are enough). `sending`: begun,
    not confirmed.
    """

    state: Literal["sending", "confirmed", "damaged"]
    id: str | None


class Session:
    """Where the address of one unfinished upload is kept: an UploadMemory."""

    def __init__(self, database: Database, store: str, name: str) -> None:
        self._database, self._key = database, (store, name)

    def recall(self) -> str | None:
        """See UploadMemory.recall."""
        row = self._database.execute(
            "SELECT session FROM stored WHERE store = ? AND object = ?", self._key
        ).fetchone()
        return None if row is None else row[0]

    def remember(self, address: str | None) -> None:
        """See UploadMemory.remember."""
        self._database.execute(
            "UPDATE stored SET session = ? WHERE store = ? AND object = ?", (address, *self._key)
        )


class ObjectRecords:
    """What is known about objects. Names are objects' names, stores are kinds of stores."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add_object(self, entry: ObjectEntry) -> None:
        """Remember an object that was written here, or that a verified manifest describes."""
        self.database.execute(
            "INSERT OR IGNORE INTO objects VALUES (?, ?, ?, ?)",
            (entry.name, entry.kind, entry.model_dump_json(), clock.now().isoformat()),
        )

    def entry(self, name: str) -> ObjectEntry | None:
        """What is known about an object."""
        row = self.database.execute("SELECT entry FROM objects WHERE name = ?", (name,)).fetchone()
        return None if row is None else ObjectEntry(**json.loads(row[0]))

    def entries(self, kind: ObjectKind) -> list[ObjectEntry]:
        """What is known about all objects of a kind."""
        rows = self.database.execute("SELECT entry FROM objects WHERE kind = ? ORDER BY name", (kind,))
        return [ObjectEntry(**json.loads(entry)) for (entry,) in rows.fetchall()]

    def forget_object(self, name: str) -> None:
        """Forget an object (and what it holds, if it is a pack) that no store holds any more."""
        with self.database.transaction() as database:
            database.execute("DELETE FROM objects WHERE name = ?", (name,))
            database.execute("DELETE FROM packed WHERE pack = ?", (name,))

    def forget_content(self, pack: str) -> None:
        """Forget what a pack holds: its live files travel again with the next backup."""
        self.database.execute("DELETE FROM packed WHERE pack = ?", (pack,))

    def sending(self, store: str, name: str, object_id: str | None) -> Session:
        """Write down that an object is about to be sent under this id; where its upload's address is kept."""
        self.database.execute(
            "INSERT INTO stored (store, object, id, confirmed_at, state) VALUES (?, ?, ?, ?, 'sending') "
            "ON CONFLICT DO UPDATE SET state = 'sending', "
            "session = iif(id IS excluded.id, session, NULL), id = excluded.id",
            (store, name, object_id, clock.now().isoformat()),
        )
        return self.session(store, name)

    def session(self, store: str, name: str) -> Session:
        """Where the address of an unfinished upload is kept."""
        return Session(self.database, store, name)

    def add_stored(self, store: str, stored: StoredObject) -> None:
        """Remember that a store confirmed an object."""
        self.database.execute(
            "INSERT OR REPLACE INTO stored (store, object, id, confirmed_at) VALUES (?, ?, ?, ?)",
            (store, stored.name, stored.id, clock.now().isoformat()),
        )

    def forget_stored(self, store: str, name: str) -> None:
        """Forget that a store holds an object: it does not any more."""
        self.database.execute("DELETE FROM stored WHERE store = ? AND object = ?", (store, name))

    def mark_damaged(self, store: str, name: str) -> None:
        """Remember that what a store holds under this name is not the object: no backup relies on it."""
        self.database.execute(
            "UPDATE stored SET state = 'damaged' WHERE store = ? AND object = ?", (store, name)
        )

    def stored_in(self, store: str) -> dict[str, str | None]:
        """The objects that a store confirmed, by name: their ids (None where names are enough)."""
        return self._ids(store, "confirmed")

    def damaged_in(self, store: str) -> dict[str, str | None]:
        """The objects that a store holds damaged, by name: their ids."""
        return self._ids(store, "damaged")

    def sent_to(self, store: str) -> dict[str, str | None]:
        """The objects whose sending was begun and not confirmed, by name: the ids they were to get."""
        return self._ids(store, "sending")

    def believed(self, store: str, name: str) -> Believed | None:
        """What is known about an object in a store; None when it has nothing to do with it."""
        row = self.database.execute(
            "SELECT state, id FROM stored WHERE store = ? AND object = ?", (store, name)
        ).fetchone()
        return None if row is None else Believed(*row)

    def holders(self, name: str) -> list[str]:
        """The stores that have to do with an object: it was sent there, or is about to be."""
        rows = self.database.execute("SELECT store FROM stored WHERE object = ? ORDER BY store", (name,))
        return [store for (store,) in rows]

    def usable_packs(self, stores: Iterable[str]) -> set[str]:
        """The packs that one of these stores confirmed, and that are damaged in none."""
        wanted = json.dumps(list(stores))
        rows = self.database.execute(
            "SELECT name FROM objects WHERE kind = 'pack' AND name IN (SELECT object FROM stored "
            "WHERE state = 'confirmed' AND store IN (SELECT value FROM json_each(?))) "
            "AND name NOT IN (SELECT object FROM stored WHERE state = 'damaged')",
            (wanted,),
        )
        return {name for (name,) in rows}

    def forget_lost_packs(self) -> None:
        """Forget what packs hold that no store has."""
        self.database.execute("DELETE FROM packed WHERE pack NOT IN (SELECT object FROM stored)")

    def add_packed(self, rows: Iterable[Sequence[object]]) -> None:
        """Remember what a pack holds: (path, pack, size, mtime_ns, ctime_ns, inode, sha256) per file."""
        self.database.executemany("INSERT OR REPLACE INTO packed VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _ids(self, store: str, state: str) -> dict[str, str | None]:
        rows = self.database.execute(
            "SELECT object, id FROM stored WHERE store = ? AND state = ? ORDER BY object", (store, state)
        )
        return dict(rows.fetchall())
