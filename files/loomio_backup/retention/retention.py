"""Which backups stay in a store, and which go: decisions only, nothing is read or removed here.

Three layers, from the wish to the brake:

* `wanted`: what the settings ask for (periods.py).
* `plan`: what an ordinary pruning does. The newest complete backup, the last verified ones and pinned ones
  stay whatever the settings say; many removals go in stages; any doubt stops all of them.
* emergency.py: what goes when a store is full, so that the brakes never end the backups themselves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from loomio_backup.config import Retention, zone
from loomio_backup.progress import seconds_text
from loomio_backup.retention import periods
from loomio_backup.retention.periods import PERIODS, Dated

CLOCKS = timedelta(minutes=5)
"""How far two clocks may differ before neither is believed."""
STAGE = 10
"""So many backups may always be removed within `WINDOW`; of a long history a third."""
WINDOW = timedelta(hours=24)


@dataclass(frozen=True)
class Backup:
    """One backup as a store holds it.

    verified: its last drill from this store passed. pin: who pinned it. elsewhere: another store holds it
    complete. own_bytes go with it; shared are the objects that other backups may need too (packs, index).
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

    now is by the store's clock, pi_now by this machine's. barred: why this program must not remove anything
    here, ever. frozen: why retention was frozen. missing, unreadable: manifests that disappeared, that
    cannot be read. removed: when backups were removed here, by the store's clock. sizes: bytes of the shared
    objects. deferred: these are not removed with their last backup, but cleared up later. in_use: those that
    a backup in the making needs.
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
    sizes: Mapping[str, int] = field(default_factory=dict)
    deferred: bool = False
    in_use: Set[str] = frozenset()

    def without(self, names: Set[str]) -> "StoreState":
        """The state without these backups."""
        return replace(self, backups=[backup for backup in self.backups if backup.name not in names])

    @property
    def newest_first(self) -> list[Backup]:
        """The backups, newest first: by generation and sequence, never by time or name."""
        return sorted(self.backups, key=lambda backup: backup.order, reverse=True)

    @property
    def newest_complete(self) -> Backup | None:
        """What a recovery would take."""
        return next((backup for backup in self.newest_first if backup.complete), None)


@dataclass(frozen=True)
class Decision:
    """What happens to one backup, and why. `held back`: it goes later."""

    name: str
    action: Literal["keep", "remove", "held back"]
    reason: str


@dataclass(frozen=True)
class Plan:
    """Decisions for all backups of a store, newest first. stopped: why nothing is removed at all."""

    store: str
    decisions: tuple[Decision, ...]
    stopped: str | None

    @property
    def removals(self) -> tuple[Decision, ...]:
        """What is to be removed, in this order: oldest first."""
        return tuple(decision for decision in reversed(self.decisions) if decision.action == "remove")


def wanted(backups: Iterable[Dated], policy: Retention, timezone: str) -> frozenset[str]:
    """Names of the backups that the settings ask to keep, brakes apart; all count as complete."""
    return frozenset(periods.reasons(backups, policy, timezone))


def plan(state: StoreState, policy: Retention, timezone: str, verified_kept: int) -> Plan:
    """An ordinary pruning of one store."""
    newest_first = state.newest_first
    reasons = kept(state, policy, timezone, verified_kept)
    stopped = _stopped(state)
    candidates = [backup for backup in reversed(newest_first) if backup.name not in reasons]
    now_going = {backup.name for backup in candidates[: _stage(state)]}
    unneeded = _Unneeded(newest_first, reasons, timezone)
    decisions = []
    for backup in newest_first:
        if backup.name in reasons:
            decisions.append(Decision(backup.name, "keep", ", ".join(reasons[backup.name])))
            continue
        why = unneeded.why(backup)
        if stopped is not None:
            decisions.append(Decision(backup.name, "held back", f"{why}; but nothing is removed now"))
        elif backup.name in now_going:
            decisions.append(Decision(backup.name, "remove", why))
        else:
            decisions.append(
                Decision(backup.name, "held back", f"{why}; but so many go in stages, a day apart")
            )
    return Plan(state.store, tuple(decisions), stopped)


def kept(state: StoreState, policy: Retention, timezone: str, verified_kept: int) -> dict[str, list[str]]:
    """Why a backup stays, by its name: the brakes first, then the settings.

    An incomplete backup never takes a complete one's place; it stays as long as a complete one would.
    """
    newest_first = state.newest_first
    newest = state.newest_complete
    verified = [backup.name for backup in newest_first if backup.complete and backup.verified][:verified_kept]
    of_complete = periods.reasons((backup for backup in newest_first if backup.complete), policy, timezone)
    of_all = periods.reasons(newest_first, policy, timezone)
    reasons: dict[str, list[str]] = {}
    for backup in newest_first:
        why = []
        if backup is newest:
            why.append("the newest complete backup")
        elif newest is None or backup.order > newest.order:
            why.append("newer than the newest complete backup")
        if backup.pin is not None:
            why.append("pinned" if backup.pin == "person" else "pinned by this program")
        if backup.name in verified:
            why.append(
                "the last verified backup"
                if len(verified) == 1
                else f"one of the last {len(verified)} verified"
            )
        why += of_complete.get(backup.name) or of_all.get(backup.name, [])
        if why:
            reasons[backup.name] = why if backup.complete else [*why, "though incomplete"]
    return reasons


def _stopped(state: StoreState) -> str | None:
    """Why nothing at all may be removed, in a sentence; None when all is clear."""
    if state.barred is not None:
        return state.barred
    if state.frozen is not None:
        return f"retention is frozen: {state.frozen}"
    doubts = list(_doubts(state))
    return "; ".join(doubts) if doubts else None


def _doubts(state: StoreState) -> Iterator[str]:
    if state.missing:
        yield f"{some(state.missing)} disappeared from the store, and not by this program"
    if state.unreadable:
        yield f"{some(state.unreadable)} cannot be read, so what it needs is not known"
    if not state.clock_synchronised:
        yield "the clock of this machine is not synchronised"
    apart = abs(state.now - state.pi_now)
    if apart > CLOCKS:
        yield f"the clocks of this machine and of the store differ by {seconds_text(apart.total_seconds())}"
    newest_first = state.newest_first
    ahead = newest_first[0].snapshot_at - state.now if newest_first else timedelta(0)
    if ahead > CLOCKS:
        yield (
            f"the newest backup, {newest_first[0].name}, was made {seconds_text(ahead.total_seconds())} in "
            "the future, so some clock is or was wrong"
        )
    if newest_first and state.newest_complete is None:
        yield "no backup in it is complete"


def some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _stage(state: StoreState) -> int:
    """How many backups may go now. What already went within the window counts, so that pruning again at once
    removes nothing more. (What went "in the future" was noted by a clock that has been put right since.)
    """
    lately = sum(1 for moment in state.removed if state.now - WINDOW < moment <= state.now + CLOCKS)
    return max(0, max(STAGE, (len(state.backups) + lately) // 3) - lately)


class _Unneeded:
    """Says why the settings do not keep a backup."""

    def __init__(self, newest_first: Sequence[Backup], kept: Mapping[str, object], timezone: str) -> None:
        self._local = zone(timezone)
        self._newest: dict[str, str] = {}
        for backup in newest_first:
            if backup.name in kept and backup.complete:
                for period in PERIODS:
                    self._newest.setdefault(period(self._time(backup)), backup.name)

    def why(self, backup: Backup) -> str:
        for period in PERIODS:
            label = period(self._time(backup))
            if label in self._newest:
                return f"of {label} {self._newest[label]} is kept"
        return "older than what the settings keep"

    def _time(self, backup: Backup) -> datetime:
        return backup.snapshot_at.astimezone(self._local)
