"""What one store holds, as retention sees it: its history, judged with all that this machine knows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Catalogue, Summary
from loomio_backup.catalogue.history import History
from loomio_backup.catalogue.manifest import SUFFIX, Manifest, ObjectEntry
from loomio_backup.config import Config, Retention
from loomio_backup.drill import drills, leases
from loomio_backup.restore import restore_journal
from loomio_backup.restore.restore_journal import Journal
from loomio_backup.retention.pins import Pins, pin_name
from loomio_backup.retention.retention import WINDOW, Backup, StoreState
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store, StoredObject

_LISTS_LAG = timedelta(days=1)
"""Much more than the hour that was ever seen in Drive."""
_RESTORE_WAITS = timedelta(days=7)
"""So long the backup of a restore that was begun and not finished is held."""


Others = Mapping[str, tuple[Store, History]]
"""The other stores that can be reached, by their kinds."""


@dataclass
class Holding:
    """A store under retention. `history` and `needed_by` (how many backups need a shared object) follow what
    is removed; `state` stays as it was found.
    """

    store: Store
    history: History
    state: StoreState
    needed_by: Counter[str]

    @property
    def left(self) -> StoreState:
        """The state with the backups that are left."""
        left = {summary.name for summary in self.history.backups}
        return self.state.without({backup.name for backup in self.state.backups} - left)

    def all_of(self, name: str) -> list[StoredObject]:
        """Every object of this name."""
        found = [self.history.objects[name]] if name in self.history.objects else []
        return found + [stored for stored in self.history.duplicates if stored.name == name]


def is_shared(entry: ObjectEntry) -> bool:
    """Whether other backups may need this object too."""
    return entry.kind in ("pack", "index")


class Observer:
    """Finds out what decides about a store."""

    def __init__(self, settings: Config, state: StateDirectory, catalogue: Catalogue, pins: Pins) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._pins = pins
        self._journal = restore_journal.load(state.restore_journal)
        self._state = state

    def observe(
        self,
        store: Store,
        history: History,
        others: Others,
        in_use: Set[str] = frozenset(),
    ) -> Holding:
        """Judge a store by its history, and by those of the other stores. Raises StoreError."""
        now = store.now()
        judge = _Judge(store, history)
        verified, pinned = drills.verified(self._catalogue, store.kind), self._pinned(history, others)
        backups = [
            replace(
                judge.judged(summary, self._catalogue.load(summary)),
                verified=summary.name in verified,
                pin="person" if summary.name in pinned else None,
            )
            for summary in history.backups
        ]
        state = StoreState(
            store=store.kind,
            backups=backups,
            now=now,
            pi_now=clock.now(),
            clock_synchronised=self._settings.clock_wait_seconds == 0 or clock.synchronised(),
            barred=self._barred(store, history.backups),
            frozen=self._catalogue.meta("frozen"),
            missing=tuple(history.missing),
            unreadable=(*history.foreign, *(name for name, _ in history.damaged)),
            removed=self._removed(store.kind, now),
            sizes=judge.sizes,
            deferred=self._deferred(store, history, now),
            in_use=in_use,
        )
        return Holding(store, history, state, Counter(name for backup in backups for name in backup.shared))

    def policy(self, store: Store) -> Retention:
        """The settings for a store."""
        stores = self._settings.stores
        found = stores.local if store.kind == "local" else stores.drive
        assert found is not None
        return found.retention

    def _barred(self, store: Store, summaries: Iterable[Summary]) -> str | None:
        if store.append_only:
            return "this machine never deletes there (append_only); prune runs elsewhere"
        own = self._catalogue.lineage()
        instances = {summary.instance for summary in summaries}
        if len(instances) > 1 or (own is not None and instances - {own.instance}):
            return "it holds backups of several Loomios; give each of them its own folder in the settings"
        newer = [summary for summary in summaries if own is not None and summary.generation > own.generation]
        if newer:
            return f"another Pi has taken over ({newer[0].name} is of a later generation than this Pi)"
        return None

    def _deferred(self, store: Store, history: History, now: datetime) -> bool:
        """Whether a backup that is not in the store's list may need what we see no use for: this machine does
        not make the backups, or took over only lately (or forgot), and lists lag behind.
        """
        own = self._catalogue.lineage()
        if own is None or store.kind == "local":
            return own is None
        inherited = any(summary.generation < own.generation for summary in history.backups)
        since = [
            history.objects[summary.name + SUFFIX].created
            for summary in history.backups
            if summary.generation == own.generation
        ]
        return inherited and min(since, default=now) > now - _LISTS_LAG

    def _removed(self, kind: str, now: datetime) -> tuple[datetime, ...]:
        """When backups were lately removed."""
        rows = self._catalogue.database.execute(
            "SELECT removed_at FROM removals WHERE store = ? AND removed_at > ?",
            (kind, (now - WINDOW).isoformat()),
        )
        return tuple(datetime.fromisoformat(moment) for (moment,) in rows)

    def _pinned(self, history: History, others: Others) -> set[str]:
        """The pinned backups: a pin in one store holds in all of them. What a drill or an unfinished restore
        reads counts as pinned by a person, too.
        """
        pinned = history.pins.union(*(theirs.pins for _, theirs in others.values()))
        leased = leases.leased(self._state)
        if leased:
            pinned.add(leased)
        journal = self._journal
        if journal is not None and _unfinished(journal):
            pinned.add(journal.backup)
        return pinned

    def in_need(self, holding: Holding, others: Others) -> Holding:
        """The same, with all that decides only in need: whose the pins are, and where else their backups are.
        Raises StoreError.
        """
        backups = [
            replace(backup, pin="program", elsewhere=self._elsewhere(backup, others))
            if backup.pin is not None and self._by_program(backup, holding, others)
            else backup
            for backup in holding.state.backups
        ]
        # Whoever makes the backups knows them well enough in need.
        state = replace(holding.state, backups=backups, deferred=self._catalogue.lineage() is None)
        return replace(holding, state=state)

    def _by_program(self, backup: Backup, holding: Holding, others: Others) -> bool:
        """Whether nobody but this program pinned a backup. What cannot be read counts as a person's."""
        name = pin_name(backup.name)
        found = [(store, history.objects.get(name)) for store, history in others.values()]
        found.append((holding.store, holding.history.objects.get(name)))
        pins = [self._pins.read(store, stored) for store, stored in found if stored is not None]
        return bool(pins) and all(pin is not None and pin.by == "program" for pin in pins)

    def _elsewhere(self, backup: Backup, others: Others) -> bool:
        """Whether another store holds a backup, whole."""
        manifest = self._catalogue.manifest(backup.name)
        return manifest is not None and any(
            any(summary.name == backup.name for summary in history.backups)
            and _Judge(store, history).complete(manifest)
            for store, history in others.values()
        )


class _Judge:
    """Looks at the backups of one store; the caller keeps no two manifests in memory at once."""

    def __init__(self, store: Store, history: History) -> None:
        self._store = store
        self._history = history
        self._unlisted: dict[str, StoredObject | None] = {}
        self._names: dict[str, str] = {}
        self.sizes: dict[str, int] = {}

    def judged(self, summary: Summary, manifest: Manifest) -> Backup:
        objects = self._history.objects
        shared = [entry for entry in manifest.objects if is_shared(entry)]
        own = [entry.name for entry in manifest.objects if not is_shared(entry)]
        own += [manifest.manifest_name, pin_name(manifest.name)]
        for entry in shared:
            self.sizes[self._one(entry.name)] = entry.stored_size
        return Backup(
            name=summary.name,
            generation=summary.generation,
            sequence=summary.sequence,
            snapshot_at=summary.snapshot_at,
            complete=self.complete(manifest),
            own_bytes=sum(objects[name].size for name in own if name in objects),
            shared=frozenset(self._one(entry.name) for entry in shared),
        )

    def complete(self, manifest: Manifest) -> bool:
        """Whether the store holds every object as the manifest describes it."""
        for entry in manifest.objects:
            stored = self._found(entry.name)
            if stored is None or not stored.matches(entry.digests):
                return False
        return True

    def _found(self, name: str) -> StoredObject | None:
        listed = self._history.objects.get(name)
        if listed is not None:
            return listed
        if name not in self._unlisted:
            # A fresh object may be missing from a list for a while; asking for it by name finds it.
            self._unlisted[name] = self._store.stat(name)
        return self._unlisted[name]

    def _one(self, name: str) -> str:
        """The same text object for the same name: a hundred backups may share a thousand packs."""
        return self._names.setdefault(name, name)


def _unfinished(journal: Journal) -> bool:
    return journal.state != "done" and clock.now() - journal.started_at < _RESTORE_WAITS
