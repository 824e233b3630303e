"""Backups in real stores without the database and files behind them: for tests of what removes them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Catalogue, Lineage
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import Manifest, ObjectEntry, ObjectKind, backup_name, seal
from loomio_backup.config import Config, DriveStore, LocalStore, Retention, Stores
from loomio_backup.credentials import Credentials
from loomio_backup.encryption import crypto
from loomio_backup.retention.pins import Pins
from loomio_backup.retention.prune import Pruner, Report
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store, StoredObject

from .agent_samples import manifest as sample_manifest
from .agent_samples import object_entry
from .stores_bench import digests_of

NEWEST = Retention(hourly=0, daily=0, weekly=0, monthly=0, yearly=0)
"""Keeps nothing but what the brakes keep."""
INSTANCE = "i" * 32


class Bench:
    """A machine with the agent's keys and some stores. `other`: a bench whose keys it shares."""

    def __init__(
        self,
        root: Path,
        stores: Mapping[str, Store],
        policy: Retention = NEWEST,
        drive: DriveStore | None = None,
        other: Bench | None = None,
    ) -> None:
        self.root, self.stores, self.said = root, dict(stores), list[str]()
        self.identity: str = other.identity if other else crypto.generate_identity()
        self.signing_key: str = other.signing_key if other else crypto.generate_signing_key()[0]
        for name, text in (("identity", self.identity), ("signing_key", self.signing_key)):
            (root / "credentials").mkdir(parents=True, exist_ok=True)
            (root / "credentials" / name).write_text(text)
        self.config = Config(
            host="pi",
            stores=Stores(
                local=LocalStore(path=root / "disk", retention=policy),
                drive=(drive or DriveStore()).model_copy(update={"retention": policy}),
            ),
            recipients=[crypto.recipient_of(self.identity)],
            signing_public_key=crypto.signing_public_key(self.signing_key),
            state_directory=root / "state",
            credentials_directory=root / "credentials",
            clock_wait_seconds=0,
        )
        self.credentials = Credentials(root / "credentials")
        self.state = StateDirectory(root / "state")
        self.catalogue = Catalogue(self.state.catalogue)
        self.reader = Reader(self.config, self.credentials, self.state, self.catalogue)
        self.pins = Pins(self.config, self.credentials, self.state, self.catalogue, self.reader)
        self.pruner = Pruner(
            self.config, self.credentials, self.state, self.catalogue, self.reader, self.said.append
        )

    def close(self) -> None:
        self.catalogue.__exit__(None, None, None)

    def make(
        self,
        packs: Sequence[ObjectEntry] = (),
        into: Sequence[str] | None = None,
        ago: timedelta = timedelta(0),
        legacy: bool = False,
        instance: str = INSTANCE,
        generation: int = 1,
        sizes: int = 300,
    ) -> Manifest:
        """One more backup, of the moment `ago`, in the stores `into`; `packs` are there already."""
        own = self.catalogue.lineage() or Lineage(instance, generation, 0, None)
        moment = clock.now() - ago
        name = backup_name(moment)
        while self.catalogue.manifest(name) is not None:
            moment += timedelta(seconds=1)
            name = backup_name(moment)
        entries = [
            *packs,
            self.put(f"{name}.dump.zst.age", "database", into, sizes),
            self.put(f"{name}.config.tar.zst.age", "config", into, sizes),
        ]
        if legacy:
            entries.append(self.put(f"{name}.sql.enc", "legacy", into, sizes))
        made = sample_manifest(
            name=name,
            instance=instance,
            generation=generation,
            sequence=own.sequence + 1,
            previous=own.previous,
            snapshot_at=clock.now() - ago,
            objects=entries,
        )
        path = self.root / made.manifest_name
        digests = seal(made, self.signing_key, self.config.recipients, path)
        for kind in into or self.stores:
            self.catalogue.add_stored(kind, self.stores[kind].put(path.name, path, digests))
        self.catalogue.add_manifest(made, digests.stored_sha256, digests.stored_md5)
        self.catalogue.set_lineage(Lineage(instance, generation, made.sequence, name))
        path.unlink()
        return made

    def pack(self, into: Sequence[str] | None = None, size: int = 500) -> ObjectEntry:
        """A new pack."""
        return self.put(f"app-data_{secrets.token_hex(16)}.tar.zst.age", "pack", into, size)

    def put(
        self, name: str, kind: ObjectKind, into: Sequence[str] | None = None, size: int = 300
    ) -> ObjectEntry:
        """A new object of random content."""
        content = secrets.token_bytes(size)
        digests = digests_of(content)
        (self.root / name).write_bytes(content)
        for where in into or self.stores:
            self.catalogue.add_stored(where, self.stores[where].put(name, self.root / name, digests))
        (self.root / name).unlink()
        entry = object_entry(
            name,
            kind,
            stored_size=size,
            stored_sha256=digests.stored_sha256,
            stored_md5=digests.stored_md5,
        )
        self.catalogue.add_object(entry)
        return entry

    def stray(self, kind: str, name: str, content: bytes = b"x") -> StoredObject:
        """An object that the catalogue knows nothing of."""
        path = self.root / "stray"
        path.write_bytes(content)
        return self.stores[kind].put(name, path, digests_of(content))

    def history(self, kind: str) -> History:
        return self.reader.read(self.stores[kind])

    def names(self, kind: str) -> set[str]:
        return {stored.name for stored in self.stores[kind].list()}

    def backups(self, kind: str) -> list[str]:
        """Names of the backups in a store, oldest first."""
        return [summary.name for summary in reversed(self.history(kind).newest_first())]

    def prune(self, *only: str, dry_run: bool = False) -> dict[str, Report]:
        """Prune; a report per store."""
        reports = self.pruner.prune(self.stores, only or None, dry_run)
        return {report.store: report for report in reports}

    def age_marks(self, days: float) -> None:
        """Everything was marked so many days earlier."""
        rows = self.catalogue.database.execute("SELECT store, object, id, marked_at FROM marks").fetchall()
        for store, name, id_, marked_at in rows:
            earlier = datetime.fromisoformat(marked_at) - timedelta(days=days)
            self.catalogue.database.execute(
                "UPDATE marks SET marked_at = ? WHERE store = ? AND object = ? AND id = ?",
                (earlier.isoformat(), store, name, id_),
            )
