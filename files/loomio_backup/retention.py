"""Which backups stay in a store, and which go: decisions only, nothing is read or removed here.

Three layers, from the wish to the brake:

* `wanted`: what the settings ask for: the newest backup of each of the last hours, days, weeks (ISO 8601),
  months and years that have one, in the Pi's time zone, and everything of the last `days`.
* `plan`: what an ordinary pruning does. The newest complete backup, the last verified ones and pinned ones
  stay whatever the settings say; many removals go in stages; any doubt stops all of them.
* `make_room`: what goes when a store is full, so that the brakes never end the backups themselves: stages, the
  freeze and doubts about the clock do not hold, but the newest complete, the last verified and people's pins do.

"Newest" is the highest (generation, sequence) throughout, so that no clock decides it; the "last" seven days are
the seven that the newest backups fall into.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from loomio_backup.config import Retention, zone

CLOCKS = timedelta(minutes=5)
"""How far two clocks may differ before neither is believed."""
STAGE = 10
"""So many backups may always be removed within `WINDOW`; of a long history a third."""
WINDOW = timedelta(hours=24)


class Dated(Protocol):
    """What `wanted` has to know of a backup; catalogue.Summary is one."""

    @property
    def name(self) -> str: ...
    @property
    def order(self) -> tuple[int, int]: ...
    @property
    def snapshot_at(self) -> datetime: ...


@dataclass(frozen=True)
class Backup:
    """One backup as a store holds it. `verified`: its last drill from this store passed. `pin`: whose pin it has.
    `elsewhere`: another store holds it complete. `own_bytes` go with it; `shared` are the objects that other
    backups may need too (packs, index).
    """

    name: str
    generation: int
    sequence: int
    snapshot_at: datetime
    complete: bool = True
    verified: bool = False
    pin: Literal["person", "program"] | None = None
    elsewhere: bool = False
    own_bytes: int = 0
    shared: frozenset[str] = frozenset()

    @property
    def order(self) -> tuple[int, int]:
        """What "newest" means."""
        return self.generation, self.sequence


@dataclass(frozen=True)
class StoreState:
    """All that decides about one store.

    `now` is by the store's clock, `pi_now` by this Pi's. `barred`: why this program must not delete here at all.
    `frozen`: why retention was frozen. `missing`, `unreadable`: manifests that should be there, that cannot be
    read. `removed`: when backups were removed here (by the store's clock). `sizes`: bytes of the shared objects.
    `in_use`: shared objects that a backup in the making relies on.
    """

    store: str
    backups: Sequence[Backup]
    now: datetime
    pi_now: datetime
    clock_synchronised: bool = True
    barred: str | None = None
    frozen: str | None = None
    missing: Sequence[str] = ()
    unreadable: Sequence[str] = ()
    removed: Sequence[datetime] = ()
    sizes: Mapping[str, int] | None = None
    in_use: Set[str] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What happens to one backup, and why, in words that follow its name. `held back`: it will go later."""

    name: str
    action: Literal["keep", "remove", "held back"]
    reason: str


@dataclass(frozen=True)
class Plan:
    """Decisions for all backups of a store, newest first. `stopped`: why nothing is removed at all."""

    store: str
    decisions: tuple[Decision, ...]
    stopped: str | None

    @property
    def removals(self) -> tuple[Decision, ...]:
        """What is to be removed, in this order: oldest first."""
        return tuple(decision for decision in reversed(self.decisions) if decision.action == "remove")


@dataclass(frozen=True)
class RoomPlan:
    """What to remove, in this order, to free the bytes that were asked for. `problem`: why that cannot be done; then
    nothing is removed, because it would be in vain.
    """

    removals: tuple[Decision, ...]
    freed: int
    problem: str | None = None


def wanted(backups: Iterable[Dated], policy: Retention, timezone: str) -> frozenset[str]:
    """Names of the backups that the settings ask to keep, brakes apart. All of `backups` count as complete."""
    return frozenset(_reasons(backups, policy, timezone))


def plan(state: StoreState, policy: Retention, timezone: str, verified_kept: int) -> Plan:
    """An ordinary pruning of one store."""
    raise NotImplementedError


def make_room(state: StoreState, policy: Retention, timezone: str, needed: int) -> RoomPlan:
    """The fewest removals, least valuable first, that free `needed` bytes; the emergency tier."""
    raise NotImplementedError


def _reasons(backups: Iterable[Dated], policy: Retention, timezone: str) -> dict[str, list[str]]:
    """Why the settings keep a backup, by its name."""
    newest_first = sorted(backups, key=lambda backup: backup.order, reverse=True)
    reasons: dict[str, list[str]] = {}
    local = zone(timezone)
    for period, count in _counts(policy):
        seen: set[str] = set()
        for backup in newest_first:
            label = period(backup.snapshot_at.astimezone(local))
            if len(seen) < count and label not in seen:
                seen.add(label)
                reasons.setdefault(backup.name, []).append(f"newest of {label}")
    if policy.days is not None:
        for backup in newest_first:
            if newest_first[0].snapshot_at - backup.snapshot_at <= timedelta(days=policy.days):
                reasons.setdefault(backup.name, []).append(f"of the last {policy.days} days")
    return reasons


_Period = Callable[[datetime], str]


def _counts(policy: Retention) -> Iterator[tuple[_Period, int]]:
    yield _hour, policy.hourly
    yield _day, policy.daily
    yield _week, policy.weekly
    yield _month, policy.monthly
    yield _year, policy.yearly


def _hour(moment: datetime) -> str:
    # With the offset: in autumn an hour comes twice.
    return f"hour {moment:%Y-%m-%d %H:00 %z}"


def _day(moment: datetime) -> str:
    return f"day {moment:%Y-%m-%d}"


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"week {year}-W{week:02}"


def _month(moment: datetime) -> str:
    return f"month {moment:%Y-%m}"


def _year(moment: datetime) -> str:
    return f"year {moment:%Y}"
