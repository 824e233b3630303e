"""Acts on what retention decides, one store at a time: after each backup, before one that would not fit, and
as the verb `prune` (pruning.py).

Whatever is interrupted is finished by the next prune (removal.py). A backup is good without any of this, so a
store that cannot be pruned is a problem to be told, and does not fail a backup.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from loomio_backup import room
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import StoreError
from loomio_backup.monitoring import emergency
from loomio_backup.progress import bytes_text, say
from loomio_backup.retention import clearing, retention
from loomio_backup.retention.clearing import Clearing
from loomio_backup.retention.holding import Holding, Observer
from loomio_backup.retention.pins import Pins, pin_name
from loomio_backup.retention.removal import Remover
from loomio_backup.retention.retention import Decision, Plan
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store, StoredObject

Histories = Mapping[str, tuple[Store, History]]
"""The stores that can be reached, and what they hold, by their kinds."""


@dataclass
class Report:
    """What was done in one store, or with `dry_run` what would be done.

    plan: the ordinary decisions; in_need: removals to make room; finished: backups whose removal had been
    interrupted; freed: bytes. problem: what a person has to put right; note: why nothing was removed where
    that is as it should be.
    """

    store: str
    dry_run: bool = False
    plan: Plan | None = None
    in_need: tuple[Decision, ...] = ()
    removed: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    clearing: Clearing | None = None
    freed: int = 0
    note: str | None = None
    problem: str | None = None


class Pruner:
    """Prunes stores. Only for the holder of the lock, except for a dry run."""

    def __init__(
        self,
        settings: Config,
        credentials: Credentials,
        state: StateDirectory,
        catalogue: Catalogue,
        reader: Reader,
        tell: Callable[[str], None] = say,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._reader = reader
        self._tell = tell
        self._pins = Pins(settings, credentials, state, catalogue, reader)
        self._observer = Observer(settings, state, catalogue, self._pins)
        self._remover = Remover(catalogue)

    def prune(
        self,
        stores: Mapping[str, Store],
        only: Iterable[str] | None = None,
        dry_run: bool = False,
        known: Histories | None = None,
    ) -> list[Report]:
        """Prune the stores whose kinds are in `only` (all, if it is None). Of the others it matters what is
        pinned there; `known` are histories of them that need not be read again.
        """
        kinds = list(stores) if only is None else list(only)
        histories = {kind: one for kind, one in (known or {}).items() if kind not in kinds}
        unread: list[Report] = []
        for kind, store in stores.items():
            if kind in kinds or kind not in histories:
                report = Report(kind, dry_run)
                with _told(report):
                    histories[kind] = store, self._reader.read(store)
                if report.problem is not None and kind in kinds:
                    unread.append(report)
        done = [self._prune(kind, histories, dry_run) for kind in kinds if kind in histories]
        if not dry_run:
            self._note([*done, *unread])
            if histories.keys() == stores.keys():
                self._remover.forget(history for _, history in histories.values())
        return [*done, *unread]

    def make_room(
        self,
        kind: str,
        histories: Histories,
        needed: int,
        reserve: int = 0,
        in_use: Set[str] = frozenset(),
        before: Callable[[], None] = lambda: None,
    ) -> Report:
        """Free what a store lacks for `needed` more bytes: by an ordinary pruning, and if that is not enough
        by removing what is least valuable.

        `reserve` as in room.py; `in_use`: packs and indexes that must stay; `before` is called before
        anything is removed, and may raise. The history of the store follows what is removed. Does nothing
        where there is room.
        """
        report = Report(kind)
        with _told(report):
            store, history = histories[kind]
            short = self._short(store, needed, reserve, report)
            over = needed + sum(stored.size for stored in _ours(history)) - self._limit(store)
            if short > 0 or over > 0:
                before()
                self._tell(f"{kind}: {bytes_text(max(short, over))} have to be freed for the next backup")
                holding = self._observe(kind, histories, report, in_use)
                self._ordinary(holding, report, in_need=True)
                self._emergency(holding, histories, report, short - report.freed)
                self._emergency(holding, histories, report, needed + self._over_limit(holding), limited=True)
        return report

    # -- one store -------------------------------------------------------------------------------------------

    def _prune(self, kind: str, histories: Histories, dry_run: bool) -> Report:
        report = Report(kind, dry_run)
        with _told(report):
            holding = self._observe(kind, histories, report)
            self._ordinary(holding, report)
            over = self._over_limit(holding)
            if dry_run and report.plan is not None:
                over -= emergency.freed_by(holding.state, {one.name for one in report.plan.removals})
            self._emergency(holding, histories, report, over, limited=True)
            if not dry_run and (holding.state.barred is None or holding.store.append_only):
                others = {other: histories[other] for other in histories if other != kind}
                self._pins.spread(holding.store, holding.history, others)
        return report

    def _observe(
        self, kind: str, histories: Histories, report: Report, in_use: Set[str] = frozenset()
    ) -> Holding:
        """Find out how a store is, and finish what was begun in it."""
        store, history = histories[kind]
        others = {other: histories[other] for other in histories if other != kind}
        interrupted = self._remover.settle(store, history, report.dry_run)
        holding = self._observer.observe(store, history, others, in_use)
        if holding.state.barred is None:
            for backup in interrupted:
                if not report.dry_run:
                    report.freed += self._remover.finish(holding, backup)
                    self._tell(f"{kind}: the interrupted removal of {backup} is finished")
                report.finished.append(backup)
        return holding

    def _ordinary(self, holding: Holding, report: Report, in_need: bool = False) -> None:
        plan = retention.plan(
            holding.state,
            self._observer.policy(holding.store),
            self._settings.timezone,
            self._settings.verified_kept,
        )
        report.plan = plan
        if plan.stopped is not None:
            if holding.store.append_only or holding.state.frozen is not None:
                report.note = plan.stopped
            elif not in_need:
                report.problem = f"nothing was removed: {plan.stopped}."
            return
        if report.dry_run:
            report.clearing = clearing.look(self._catalogue, holding)
            return
        for decision in plan.removals:
            self._remove(holding, decision, report)
        self._clear(holding, report, in_need)

    def _emergency(
        self, holding: Holding, histories: Histories, report: Report, needed: int, limited: bool = False
    ) -> None:
        """Remove what has to go for `needed` bytes; `limited`: bytes of the limit that the settings set."""
        if needed <= 0:
            return
        others = {kind: histories[kind] for kind in histories if kind != holding.store.kind}
        holding = self._observer.in_need(holding, others)
        state = holding.left
        if report.dry_run and report.plan is not None:
            gone = {decision.name for decision in report.plan.removals}
            state = state.without(gone)
        if limited:
            # Shared objects that have to wait no longer count.
            state = replace(state, deferred=False, missing=(), unreadable=())
        plan = emergency.make_room(
            state,
            self._observer.policy(holding.store),
            self._settings.timezone,
            self._settings.verified_kept,
            needed,
        )
        report.in_need += plan.removals
        report.problem = plan.problem or report.problem
        if not report.dry_run:
            for decision in plan.removals:
                self._remove(holding, decision, report)
            if plan.removals and report.plan is not None and report.plan.stopped is None:
                self._clear(holding, report)

    def _clear(self, holding: Holding, report: Report, in_need: bool = False) -> None:
        found = clearing.clear(self._catalogue, self._remover, holding, in_need)
        for stored in found.ripe:
            report.freed += stored.size
            self._tell(f"{report.store}: {stored.name} removed: nothing needs it")
        before = report.clearing.ripe if report.clearing is not None else ()
        report.clearing = Clearing((*before, *found.ripe), found.waiting)

    def _remove(self, holding: Holding, decision: Decision, report: Report) -> None:
        name = decision.name
        # Whoever pins does not wait for the lock.
        pin = pin_name(name)
        known = self._catalogue.stored_in(holding.store.kind).get(pin)
        if pin not in holding.history.objects and holding.store.stat(pin, known) is not None:
            self._tell(f"{report.store}: {name} stays: it was pinned a moment ago")
            return
        backup = next(one for one in holding.state.backups if one.name == name)
        report.freed += self._remover.remove(holding, backup, decision.reason)
        report.removed.append(name)
        self._tell(f"{report.store}: {name} removed: {decision.reason}")

    # -- room ------------------------------------------------------------------------------------------------

    def _short(self, store: Store, needed: int, reserve: int, report: Report) -> int:
        """The bytes that a store lacks for `needed` more, and that removing can free."""
        short = room.shortage(store, needed, reserve)
        drive = self._settings.stores.drive
        if short and store.kind == "drive" and drive is not None and drive.deletion == "trash":
            report.problem = (
                f"{bytes_text(short)} are missing in Google Drive for the next backup. Nothing was removed "
                "for it, because it would go to Drive's trash, which counts against the quota, too (it holds "
                f"{bytes_text(store.space().trash)}). All backups are untouched. Empty that trash, or set "
                "backup.drive.deletion to delete."
            )
            return 0
        return short

    def _limit(self, store: Store) -> int:
        """The bytes that the settings grant our objects in a store."""
        return self._observer.policy(store).space_limit_bytes or sys.maxsize

    def _over_limit(self, holding: Holding) -> int:
        """By how many bytes the backups of a store exceed what the settings grant; negative below. What
        nothing needs and is only watched does not count: removing more backups would not make it less.
        """
        watched = {stored.id or stored.name for stored in clearing.unneeded(self._catalogue, holding)}
        needed = [stored for stored in _ours(holding.history) if (stored.id or stored.name) not in watched]
        return sum(stored.size for stored in needed) - self._limit(holding.store)

    def _note(self, reports: list[Report]) -> None:
        """Remember what stops retention, for whoever asks how things are: `retention_<store>`."""
        for report in reports:
            self._catalogue.set_meta(f"retention_{report.store}", report.problem)


def _ours(history: History) -> list[StoredObject]:
    """The objects of a store that are ours."""
    found = [*history.objects.values(), *history.duplicates]
    return [stored for stored in found if clearing.is_ours(stored.name)]


@contextmanager
def _told(report: Report) -> Iterator[None]:
    """A store that fails is a problem of its own, and the others go on."""
    try:
        yield
    except StoreError as error:
        report.problem = str(error)
