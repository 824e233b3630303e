"""What goes when a store is full: retention's brakes must never be what ends the backups. Decisions only.

Neither stages nor a freeze nor doubts about clocks hold it up. What stays even now: the newest complete
backup, the last verified one, what people pinned, and the newest that this program pinned (unless another
store has it). Where manifests are missing or cannot be read, packs and indexes stay: those might need them.
"""

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass

from loomio_backup.config import Retention
from loomio_backup.progress import bytes_text
from loomio_backup.retention import retention
from loomio_backup.retention.retention import Backup, Decision, StoreState, some


@dataclass(frozen=True)
class RoomPlan:
    """What to remove, in this order, and the bytes that this frees. problem: why so many bytes as were asked
    for cannot be freed; then nothing is removed, because it would be in vain.
    """

    removals: tuple[Decision, ...]
    freed: int
    problem: str | None = None


def make_room(
    state: StoreState, policy: Retention, timezone: str, verified_kept: int, needed: int
) -> RoomPlan:
    """What has to go, the least valuable first, so that `needed` bytes become free."""
    if needed <= 0:
        return RoomPlan((), 0)
    if state.barred is not None:
        return RoomPlan((), 0, f"{bytes_text(needed)} have to be freed in {state.store}, but {state.barred}.")
    ledger = _Ledger(state)
    removals: list[Decision] = []
    for backup, reason in _expendable(state, policy, timezone, verified_kept):
        if ledger.freed >= needed:
            break
        ledger.remove(backup)
        removals.append(Decision(backup.name, "remove", f"to make room: {reason}"))
    if ledger.freed < needed:
        return RoomPlan((), 0, _no_room(state, needed, ledger.freed))
    return RoomPlan(tuple(removals), ledger.freed)


def freed_by(state: StoreState, names: Set[str]) -> int:
    """The bytes that removing these backups frees."""
    ledger = _Ledger(state)
    for backup in state.backups:
        if backup.name in names:
            ledger.remove(backup)
    return ledger.freed


def _expendable(
    state: StoreState, policy: Retention, timezone: str, verified_kept: int
) -> Iterator[tuple[Backup, str]]:
    """What may go in need, least valuable first, with the reason."""
    oldest_first = state.newest_first[::-1]
    untouchable = _untouchable(state, verified_kept)
    by_program = [backup for backup in oldest_first if backup.pin == "program"]
    kept = retention.kept(state, policy, timezone, verified_kept)
    free = [backup for backup in oldest_first if backup.name not in untouchable and backup.pin is None]
    for backup in free:
        if backup.name not in kept:
            yield backup, "the settings do not keep it"
    for backup in free:
        if backup.name in kept:
            yield backup, "it is the oldest of those that are left"
    for backup in by_program:
        if backup.name not in untouchable:
            yield backup, "only this program pinned it, and a newer one or another copy stays"


def _untouchable(state: StoreState, verified_kept: int) -> set[str]:
    newest_first = state.newest_first
    complete = [backup for backup in newest_first if backup.complete]
    verified = [backup for backup in complete if backup.verified]
    # What was pinned because its successors may be ruins: the newest of them, unless another store has it.
    good = [backup for backup in complete if backup.pin == "program"][:1]
    stay = [*(complete or newest_first)[:1], *verified[: min(1, verified_kept)]]
    stay += [backup for backup in newest_first if backup.pin == "person"]
    stay += [backup for backup in good if not backup.elsewhere]
    return {backup.name for backup in stay}


class _Ledger:
    """Bytes that removals free: an object that several backups share goes with the last of them."""

    def __init__(self, state: StoreState) -> None:
        self._needed_by = Counter(name for backup in state.backups for name in backup.shared)
        self._sizes = state.sizes
        self._stay = state.in_use
        self._shared_may_go = not (state.missing or state.unreadable or state.deferred)
        self.freed = 0

    def remove(self, backup: Backup) -> None:
        self.freed += backup.own_bytes
        self._needed_by.subtract(backup.shared)
        if self._shared_may_go:
            gone = (name for name in backup.shared if self._needed_by[name] == 0 and name not in self._stay)
            self.freed += sum(self._sizes.get(name, 0) for name in gone)


def _no_room(state: StoreState, needed: int, possible: int) -> str:
    """What happened, what is safe, and the ways out."""
    pinned = [backup.name for backup in state.newest_first if backup.pin is not None]
    ways = []
    if pinned:
        ways.append(f"unpin what need not stay ({', '.join(pinned)}): loomio-backup unpin NAME")
    if state.missing or state.unreadable:
        ways.append(
            f"put right what keeps packs from being removed ({some([*state.missing, *state.unreadable])})"
        )
    ways.append("give the store more room")
    return (
        f"{bytes_text(needed)} have to be freed in {state.store}, but all backups that may be removed would "
        f"free only {bytes_text(possible)}, so none was removed for it. Ways out: {'; '.join(ways)}."
    )
