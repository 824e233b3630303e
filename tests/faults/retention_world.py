"""A Pi with two stores in memory, on which everything happens that keeps or breaks retention: backups, clocks
that jump, drills, pins, losses, deaths in the middle of a removal.

The agent's own pruning acts on it, with its own catalogue, lists and manifests. What a backup would do apart
from that is done here, in its order.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from loomio_backup import clock, room
from loomio_backup.catalogue.catalogue import Catalogue, Lineage
from loomio_backup.catalogue.history import Reader, remember
from loomio_backup.catalogue.lineage import Found, continued
from loomio_backup.catalogue.manifest import SUFFIX, Manifest, ObjectEntry, ObjectKind, backup_name, seal
from loomio_backup.catalogue.objects import Digests
from loomio_backup.config import Config, DriveStore, LocalStore, Retention, Stores
from loomio_backup.credentials import Credentials
from loomio_backup.encryption import crypto
from loomio_backup.errors import BackupError
from loomio_backup.retention.pins import Pin, Pins, pin_name
from loomio_backup.retention.prune import Histories, Pruner
from loomio_backup.retention.retention import Backup, StoreState
from loomio_backup.state import StateDirectory
from tests.unit.agent_samples import manifest as sample_manifest
from tests.unit.agent_samples import object_entry

from .retention_store import Fuse, MemoryStore

MEGABYTE = 1_000_000
PEOPLES = {"holiday.jpg", "loomio_backup_20251101_020000.sql.enc", "app-data_mine.tar.zst.age"}
"""Files of people and of the older scripts, in each store; no business of ours."""
KEEP = {"local": 2 * room.FLOOR, "drive": 0}
"""Bytes that stay free."""


@dataclass
class Setting:
    """What a world is made with; capacities in bytes."""

    policies: dict[str, Retention]
    capacity: dict[str, int | None]
    timezone: str = "Europe/Berlin"
    verified_kept: int = 2


@dataclass
class World:
    """`time` is the true one; the Pi's clock is wrong by `wrong`. `missing`: manifests that disappeared while
    the catalogue knew of them; `spoiled`: (store, object) whose content is not what it was.
    """

    root: Path
    setting: Setting
    time: datetime = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    wrong: timedelta = timedelta(0)
    synchronised: bool = True
    fuse: Fuse = field(default_factory=Fuse)
    made: dict[str, Manifest] = field(default_factory=dict)
    missing: dict[str, set[str]] = field(default_factory=lambda: {"local": set(), "drive": set()})
    spoiled: set[tuple[str, str]] = field(default_factory=set)
    drills: dict[tuple[str, str], bool] = field(default_factory=dict)
    drilled: int = 0
    ids: int = 0
    by: dict[str, Literal["person", "program"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        identity, signing_key = _keys()
        (self.root / "credentials").mkdir(parents=True)
        (self.root / "credentials" / "identity").write_text(identity)
        (self.root / "credentials" / "signing_key").write_text(signing_key)
        self.signing_key = signing_key
        self.config = Config(
            host="pi",
            stores=Stores(
                local=LocalStore(path=self.root / "disk", retention=self.setting.policies["local"]),
                drive=DriveStore(retention=self.setting.policies["drive"]),
            ),
            recipients=[crypto.recipient_of(identity)],
            signing_public_key=crypto.signing_public_key(signing_key),
            state_directory=self.root / "state",
            credentials_directory=self.root / "credentials",
            timezone=self.setting.timezone,
            verified_kept=self.setting.verified_kept,
        )
        self.credentials = Credentials(self.root / "credentials")
        self.stores = {
            "local": MemoryStore("local", self.pi_now, self.setting.capacity["local"], self.fuse),
            "drive": MemoryStore("drive", lambda: self.time, self.setting.capacity["drive"], self.fuse),
        }
        for store in self.stores.values():
            for name in PEOPLES:
                store.claim(name, claimed(MEGABYTE))
        self.open()

    def id(self) -> str:
        """A new object's; the same life gives the same ones."""
        self.ids += 1
        return hashlib.md5(str(self.ids).encode()).hexdigest()

    def pi_now(self) -> datetime:
        """What the Pi takes the time for."""
        return self.time + self.wrong

    @contextmanager
    def clocks(self) -> Iterator[None]:
        """The agent's clock is the Pi's."""
        now, synchronised = clock.now, clock.synchronised
        clock.now, clock.synchronised = self.pi_now, lambda: self.synchronised
        try:
            yield
        finally:
            clock.now, clock.synchronised = now, synchronised

    def open(self) -> None:
        """The agent's process begins."""
        state = StateDirectory(self.config.state_directory)
        self.catalogue = Catalogue(state.catalogue)
        # An age of fsyncs would be spent on files that nobody reads after the test.
        self.catalogue.database.execute("PRAGMA synchronous = OFF")
        self.reader = Reader(self.config, self.credentials, state, self.catalogue)
        self.pins = Pins(self.config, self.credentials, state, self.catalogue, self.reader)
        self.pruner = Pruner(self.config, self.credentials, state, self.catalogue, self.reader, _silent)

    def close(self) -> None:
        """The agent's process ends."""
        self.catalogue.__exit__(None, None, None)

    def lag(self) -> None:
        """Drive's lists get out of date: what goes is still shown, and what the agent has just put is not."""
        self.stores["drive"].lag(set(self.catalogue.stored_in("drive")))

    def lose_catalogue(self) -> None:
        """The agent's memory is gone; its keys are not. By now lists show what it has put."""
        self.stores["drive"].catch_up()
        self.close()
        for path in self.config.state_directory.glob("catalogue.sqlite*"):
            path.unlink()
        self.missing = {"local": set(), "drive": set()}
        self.drills = {}
        self.open()

    # -- what the Pi does ------------------------------------------------------------------------------------

    def begin(self, reachable: set[str]) -> tuple[Histories, Lineage] | None:
        """The start of a run: histories and lineage; None when it is refused."""
        for kind, store in self.stores.items():
            store.reachable = kind in reachable
        if self.catalogue.lineage() is None and len(reachable) < len(self.stores):
            return None  # whose backups these are is decided when all stores are there
        histories = {kind: (self.stores[kind], self.reader.read(self.stores[kind])) for kind in reachable}
        found = [
            Found(kind, history.backups, history.foreign, [name for name, _ in history.damaged])
            for kind, (_, history) in histories.items()
        ]
        try:
            own = continued(self.catalogue.lineage(), found, live_data=True)
        except BackupError:
            return None
        for store, history in histories.values():
            remember(self.catalogue, store, history)
        self.catalogue.set_lineage(own)
        return histories, own

    def contents(self, reachable: set[str], new: int, left: int, size: int) -> tuple[str, list[ObjectEntry]]:
        """What the next backup consists of: `new` packs of `size` bytes, and the predecessor's packs but for
        `left`, as far as a reachable store holds them; and its name.
        """
        moment = self.pi_now()
        while backup_name(moment) in self.made:
            moment += timedelta(seconds=1)
        name = backup_name(moment)
        last = max(self.made.values(), key=lambda manifest: manifest.order, default=None)
        usable = set.union(set(), *(self.whole(kind) for kind in reachable))
        usable -= {object_name for _, object_name in self.spoiled}
        packs = sorted(last.packs()) if last is not None else []
        reused = [entry for entry in packs[left:] if entry in usable]
        entries = [last.packs()[pack] for pack in reused] if last is not None else []
        entries += [_entry(f"app-data_{self.id()}.tar.zst.age", "pack", size) for _ in range(new)]
        entries.append(_entry(f"{name}.dump.zst.age", "database", 3 * size))
        entries.append(_entry(f"{name}.config.tar.zst.age", "config", MEGABYTE))
        index = [entry for entry in last.objects if entry.kind == "index"] if last is not None else []
        if new or left or not index or index[0].name not in usable:
            index = [_entry(f"app-data-index_{self.id()}.ndjson.zst.age", "index", MEGABYTE)]
        return name, [*entries, *index]

    def lacking(self, kind: str, entries: list[ObjectEntry]) -> int:
        """Bytes that a store needs for a backup."""
        present = self.whole(kind)
        return sum(entry.stored_size for entry in entries if entry.name not in present) + MEGABYTE

    def publish(self, name: str, entries: list[ObjectEntry], kinds: list[str], own: Lineage) -> None:
        """The objects and the manifest reach these stores; where they cannot, another backup is none."""
        manifest = sample_manifest(
            name=name,
            instance=own.instance,
            generation=own.generation,
            sequence=own.sequence + 1,
            previous=own.previous,
            snapshot_at=self.pi_now(),
            objects=entries,
        )
        for kind in kinds:
            for entry in entries:
                if entry.name not in self.whole(kind):
                    self.catalogue.add_stored(kind, self.stores[kind].claim(entry.name, entry.digests))
                    self.spoiled.discard((kind, entry.name))
        path = self.root / manifest.manifest_name
        digests = seal(manifest, self.signing_key, self.config.recipients, path)
        for kind in kinds:
            stored = self.stores[kind].claim(path.name, digests, path.read_bytes())
            self.catalogue.add_stored(kind, stored)
        self.catalogue.add_manifest(manifest, digests.stored_sha256, digests.stored_md5)
        self.catalogue.set_lineage(Lineage(own.instance, own.generation, manifest.sequence, name))
        self.made[name] = manifest
        path.unlink()

    def drill(self, kind: str, name: str, passed: bool) -> None:
        """A backup was restored for proof."""
        self.catalogue.database.execute(
            "INSERT INTO drills (store, backup, finished_at, passed) VALUES (?, ?, ?, ?)",
            (kind, name, f"{self.drilled:09}", passed),
        )
        self.drilled += 1
        self.drills[kind, name] = passed

    def pin(self, name: str, by: Literal["person", "program"]) -> None:
        """Pin a backup in every store that holds it."""
        pin = Pin(backup=name, reason="why", pinned_at=self.pi_now(), by=by)
        for store in self.stores.values():
            if store.reachable and name + SUFFIX in store.names():
                self.pins.put(store, self.reader.read(store), pin)
                self.by[name] = "person" if "person" in (by, self.by.get(name)) else by

    def unpin(self, name: str) -> None:
        """Let go of a backup in every store."""
        for store in self.stores.values():
            store.reachable = True
            self.pins.remove(store, self.reader.read(store), name)
        self.by.pop(name, None)

    def lose(self, kind: str, name: str) -> None:
        """An object disappears from a store, and nobody of ours did it."""
        if name.endswith(SUFFIX) and name in self.catalogue.stored_in(kind):
            self.missing[kind].add(name)
        self.stores[kind].lose(name)
        self.spoiled.discard((kind, name))

    def spoil(self, kind: str, name: str) -> None:
        """The content of an object is not what it was."""
        self.stores[kind].spoil(name)
        self.spoiled.add((kind, name))

    def stray(self, kind: str) -> None:
        """An object appears that nobody remembers."""
        self.stores[kind].claim(f"app-data_{self.id()}.tar.zst.age", claimed(MEGABYTE))

    def verify_nothing(self) -> None:
        """Forget all drills."""
        self.catalogue.database.execute("DELETE FROM drills")
        self.drills = {}

    # -- the truth -------------------------------------------------------------------------------------------

    def whole(self, kind: str) -> set[str]:
        """The objects that a store holds and that are what they should be, as far as the store can tell."""
        spoiled = {name for where, name in self.spoiled if where == kind}
        return self.stores[kind].names() - spoiled

    def truth(self, kind: str) -> StoreState:
        """What is known about a store by whoever sees everything."""
        whole = self.whole(kind)
        backups = [manifest for name, manifest in self.made.items() if name + SUFFIX in whole]
        return StoreState(
            store=kind,
            backups=[self._judged(kind, manifest, whole) for manifest in backups],
            now=self.stores[kind].now(),
            pi_now=self.pi_now(),
            clock_synchronised=self.synchronised,
            frozen=self.catalogue.meta("frozen"),
            missing=sorted(self.missing[kind]),
            unreadable=sorted(n for where, n in self.spoiled if where == kind and n.endswith(SUFFIX)),
            deferred=self.catalogue.lineage() is None,
        )

    def unreferenced(self, kind: str) -> set[str]:
        """Objects of ours that no backup of a store needs."""
        present = self.stores[kind].names()
        backups = [manifest for name, manifest in self.made.items() if name + SUFFIX in present]
        needed = {entry.name for manifest in backups for entry in manifest.objects}
        needed |= {name for manifest in backups for name in (manifest.manifest_name, pin_name(manifest.name))}
        return present - needed - PEOPLES

    def bytes_of(self, kind: str, backup: str) -> int:
        """What a store holds of one backup, in bytes."""
        names = {entry.name for entry in self.made[backup].objects} | {backup + SUFFIX}
        return self._bytes(kind, names)

    def unreferenced_bytes(self, kind: str) -> int:
        """Bytes that no backup needs, and that are watched."""
        return self._bytes(kind, self.unreferenced(kind))

    def _bytes(self, kind: str, names: set[str]) -> int:
        return sum(one.stored.size for one in self.stores[kind].kept.values() if one.stored.name in names)

    def _judged(self, kind: str, manifest: Manifest, whole: set[str]) -> Backup:
        pinned = any(
            store.reachable and pin_name(manifest.name) in store.names() for store in self.stores.values()
        )
        return Backup(
            name=manifest.name,
            generation=manifest.generation,
            sequence=manifest.sequence,
            snapshot_at=manifest.snapshot_at,
            complete={entry.name for entry in manifest.objects} <= whole,
            verified=self.drills.get((kind, manifest.name), False),
            pin=self.by.get(manifest.name, "person") if pinned else None,
        )


def claimed(size: int) -> Digests:
    """The digests of an object that is nowhere."""
    return Digests(size, secrets.token_hex(32), size, secrets.token_hex(32), secrets.token_hex(16))


def _entry(name: str, kind: ObjectKind, size: int) -> ObjectEntry:
    digests = claimed(size)
    return object_entry(
        name,
        kind,
        plain_size=size,
        stored_size=size,
        stored_sha256=digests.stored_sha256,
        stored_md5=digests.stored_md5,
    )


def _keys(_made: list[str] = []) -> tuple[str, str]:  # noqa: B006 - made once
    if not _made:
        _made.extend([crypto.generate_identity(), crypto.generate_signing_key()[0]])
    return _made[0], _made[1]


def _silent(_: str) -> None:
    pass
