"""How one store stands: what is in it, how old, how full, what is missing. Asks the store, changes nothing.

A store that cannot be reached is told as that, with what this Pi last knew to be in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.backup.scan import APP_DATA_BYTES
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import SUFFIX, is_manifest
from loomio_backup.config import Config, Stores
from loomio_backup.credentials import Credentials
from loomio_backup.drill import drills
from loomio_backup.errors import AgentError, ConfigError, StoreError, StoreUnavailable
from loomio_backup.monitoring import freshness
from loomio_backup.monitoring.drill_status import Standing, standing
from loomio_backup.retention.forecast import Used, forecast
from loomio_backup.retention.holding import Observer, Others
from loomio_backup.stores import Store, StoredObject
from loomio_backup.stores.patience import Backoff

PATIENCE = Backoff(tries=3)
"""A person waits for the answer, and the next look comes soon."""
_LATELY = timedelta(hours=24)
OUTAGE = "outage_"
ACCESS = "access_"
"""Where the watch notes, by store, since when it does not answer, and why nothing can be stored."""


@dataclass(frozen=True)
class FirstCopy:
    """The first backup on its way into a store. Bytes; None where nobody can know yet."""

    bytes_there: int
    bytes_left: int | None
    seconds_left: float | None


@dataclass(frozen=True)
class StoreStatus:
    """One store. Times are UTC, sizes bytes; None means not known (or not there).

    store: local or drive. problem: the sentence that says why the store cannot be read; then `backups`,
    `newest` and what follows from them are what this Pi last knew, and the rest is empty. outage: the problem
    is a network or a server that does not answer, which may pass by itself; outage_since: when that was first
    seen. access_problem: why nothing could be stored, when that was last tried out.
    newest: the newest complete backup; newest_at, age_seconds: its snapshot. due_at: when the next backup for
    this store is to be made. late_since: since when it should have been there.
    backups: how many; incomplete: those that lack objects; bytes: of all objects together. missing: manifests
    that disappeared, and not by us. unreadable: manifests that are damaged, or that no key of this Pi opens.
    pinned: backups that stay whatever the settings say. verified, verified_at: the last backup that was
    restored for proof from this store. append_only: this Pi never deletes here. held_back: what kept the last
    pruning from removing what is too old, and a person has to put right.
    total_bytes, used_bytes, free_bytes: of the disk or account. full_on: when it will be full; forecast: the
    same in words, also when it is not known.
    clock_apart_seconds: how much the store's clock is ahead of this Pi's.
    first_copy: as long as no backup is complete here, how far the first one is.
    drills: what restores for proof from this store say.
    """

    store: str
    problem: str | None = None
    outage: bool = False
    outage_since: datetime | None = None
    access_problem: str | None = None
    newest: str | None = None
    newest_at: datetime | None = None
    age_seconds: float | None = None
    due_at: datetime | None = None
    late_since: datetime | None = None
    backups: int = 0
    incomplete: list[str] = field(default_factory=list)
    bytes: int | None = None
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    pinned: list[str] = field(default_factory=list)
    verified: str | None = None
    verified_at: datetime | None = None
    append_only: bool = False
    held_back: str | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    full_on: date | None = None
    forecast: str = ""
    clock_apart_seconds: float | None = None
    first_copy: FirstCopy | None = None
    drills: Standing = field(default_factory=Standing)


@dataclass(frozen=True)
class Opened:
    """A store that answers, and what it holds."""

    store: Store
    history: History


def open_each(config: Config, credentials: Credentials, reader: Reader) -> dict[str, Opened | AgentError]:
    """Every configured store by its kind, or why it cannot be read. One that fails keeps no other from it."""
    stores = config.stores
    alone = {
        "local": Stores(local=stores.local) if stores.local else None,
        "drive": Stores(drive=stores.drive) if stores.drive else None,
    }
    found: dict[str, Opened | AgentError] = {}
    for kind, only in alone.items():
        if only is None:
            continue
        try:
            [store] = open_stores(config.model_copy(update={"stores": only}), credentials, PATIENCE).values()
            found[kind] = Opened(store, reader.read(store))
        except (StoreError, ConfigError) as error:
            found[kind] = error
    return found


class Looker:
    """Looks at stores. `began`: when this Pi began to be watched; a store without any backup is late by that
    time.
    """

    def __init__(self, config: Config, catalogue: Catalogue, observer: Observer, began: datetime) -> None:
        self._config = config
        self._catalogue = catalogue
        self._observer = observer
        self._began = began

    def look(self, kind: str, opened: Mapping[str, Opened | AgentError]) -> StoreStatus:
        """How a store stands, in the light of all of them."""
        mine = opened[kind]
        if isinstance(mine, AgentError):
            return self._last_known(kind, mine)
        others = {
            other: (its.store, its.history)
            for other, its in opened.items()
            if other != kind and not isinstance(its, AgentError)
        }
        try:
            return self._seen(mine, others)
        except StoreError as error:
            return self._last_known(kind, error)

    def _seen(self, mine: Opened, others: Others) -> StoreStatus:
        store, history, kind = mine.store, mine.history, mine.store.kind
        state = self._observer.observe(store, history, others).state
        space = store.space()
        newest = state.newest_complete
        status = StoreStatus(
            store=kind,
            newest=newest.name if newest else None,
            newest_at=newest.snapshot_at if newest else None,
            backups=len(state.backups),
            incomplete=[backup.name for backup in state.newest_first if not backup.complete],
            bytes=sum(one.size for one in [*history.objects.values(), *history.duplicates]),
            missing=sorted(name.removesuffix(SUFFIX) for name in history.missing),
            unreadable=sorted(name.removesuffix(SUFFIX) for name in state.unreadable),
            pinned=sorted(history.pins),
            append_only=store.append_only,
            total_bytes=space.total,
            used_bytes=space.used,
            free_bytes=space.free,
            clock_apart_seconds=round((state.now - state.pi_now).total_seconds(), 1),
            first_copy=None if newest else self._first_copy(history, state.now),
        )
        return self._remembered(status)

    def _last_known(self, kind: str, error: AgentError) -> StoreStatus:
        """What the catalogue knows of a store that cannot be asked."""
        stored = self._catalogue.stored_in(kind)
        rows = self._catalogue.database.execute(
            "SELECT name, snapshot_at FROM manifests ORDER BY generation, sequence"
        )
        known = [(name, datetime.fromisoformat(moment)) for name, moment in rows if name + SUFFIX in stored]
        status = StoreStatus(
            store=kind,
            problem=str(error),
            outage=isinstance(error, StoreUnavailable),
            newest=known[-1][0] if known else None,
            newest_at=known[-1][1] if known else None,
            backups=len(known),
        )
        return self._remembered(status)

    def _remembered(self, status: StoreStatus) -> StoreStatus:
        """The same with what follows from the schedule, the drills and the figures of earlier days."""
        kind, newest_at, now = status.store, status.newest_at, clock.now()
        late_at = freshness.late_at(self._config, kind, newest_at or self._began)
        verified, verified_at = self._verified(kind)
        outage = self._catalogue.meta(OUTAGE + kind)
        prediction = forecast(figures(self._catalogue, kind), self._place(kind))
        return replace(
            status,
            age_seconds=round((now - newest_at).total_seconds(), 1) if newest_at else None,
            due_at=freshness.next_due(self._config, kind, now),
            late_since=late_at if now > late_at else None,
            verified=verified,
            verified_at=verified_at,
            held_back=self._catalogue.meta(f"retention_{kind}"),
            outage_since=datetime.fromisoformat(outage) if outage and status.outage else None,
            access_problem=self._catalogue.meta(ACCESS + kind),
            full_on=prediction.full_on,
            forecast=prediction.text,
            drills=standing(self._config, kind, drills.load(self._catalogue, kind), self._began, now),
        )

    def _verified(self, kind: str) -> tuple[str | None, datetime | None]:
        row = self._catalogue.database.execute(
            "SELECT backup, finished_at FROM drills WHERE store = ? AND passed "
            "AND coalesce(json_extract(report, '$.scope'), 'whole') = 'whole' "
            "ORDER BY finished_at DESC LIMIT 1",
            (kind,),
        ).fetchone()
        return (None, None) if row is None else (row[0], datetime.fromisoformat(row[1]))

    def _first_copy(self, history: History, now: datetime) -> FirstCopy:
        there = [stored for stored in history.objects.values() if not is_manifest(stored.name)]
        left = self._bytes_left(history)
        rate = _rate(there, now)
        seconds = left / rate if left is not None and rate is not None else None
        return FirstCopy(sum(stored.size for stored in there), left, seconds)

    def _bytes_left(self, history: History) -> int | None:
        """What the newest backup that this Pi knows of has and this store lacks; before the very first one,
        the app-data without what came in already (packs are compressed, so it is rather less).
        """
        row = self._catalogue.database.execute(
            "SELECT name FROM manifests ORDER BY generation DESC, sequence DESC LIMIT 1"
        ).fetchone()
        manifest = self._catalogue.manifest(row[0]) if row else None
        if manifest is not None:
            lacking = [entry for entry in manifest.objects if entry.name not in history.objects]
            return sum(entry.stored_size for entry in lacking)
        found = self._catalogue.meta(APP_DATA_BYTES)
        there = sum(one.size for one in history.objects.values() if one.name.startswith("app-data_"))
        return None if found is None else max(0, int(found) - there)

    def _place(self, kind: str) -> str:
        local = self._config.stores.local
        return f"the disk of {local.path}" if kind == "local" and local else "Drive"


def figures(catalogue: Catalogue, kind: str) -> list[Used]:
    """How full a store was, day by day."""
    rows = catalogue.database.execute(
        "SELECT day, used, total FROM space WHERE store = ? ORDER BY day", (kind,)
    )
    return [Used(date.fromisoformat(day), used, total) for day, used, total in rows]


def note_figures(catalogue: Catalogue, status: StoreStatus, today: date) -> None:
    """Remember how full a store is today, once a day is enough."""
    if status.used_bytes is not None:
        catalogue.database.execute(
            "INSERT OR REPLACE INTO space VALUES (?, ?, ?, ?)",
            (status.store, today.isoformat(), status.used_bytes, status.total_bytes),
        )


def _rate(there: Sequence[StoredObject], now: datetime) -> float | None:
    """Bytes a second at which objects came in lately, by the store's clock; None while that is not known."""
    recent = sorted((one for one in there if now - one.created < _LATELY), key=lambda one: one.created)
    if len(recent) < 2:
        return None
    seconds = (recent[-1].created - recent[0].created).total_seconds()
    return sum(one.size for one in recent[1:]) / seconds if seconds > 0 else None
