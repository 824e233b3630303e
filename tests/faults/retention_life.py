"""Whatever happens to a Pi and its stores, retention never costs what has to stay, finishes what it began,
and leaves the Pi able to back up: random lives of a world (retention_world.py), checked after every step.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from loomio_backup import room
from loomio_backup.catalogue.manifest import SUFFIX
from loomio_backup.config import Retention
from loomio_backup.retention.prune import Histories, Report
from loomio_backup.retention.retention import StoreState

from .retention_decisions import in_doubt, naively_kept, policies
from .retention_store import Died
from .retention_world import KEEP, MEGABYTE, PEOPLES, Setting, World

KINDS = ["local", "drive"]
_SOME = st.sampled_from([{"local"}, {"drive"}, {"local", "drive"}, {"local", "drive"}])
_CAPACITY = st.one_of(st.none(), st.integers(1500, 6000).map(lambda count: count * MEGABYTE))
_CLOCK = st.one_of(
    st.just(timedelta(0)),
    st.timedeltas(timedelta(minutes=-6), timedelta(minutes=6)),
    st.timedeltas(timedelta(days=-400), timedelta(days=400)),
)


@dataclass(frozen=True)
class Before:
    """A store before retention acted on it."""

    state: StoreState
    names: set[str]


class Life(RuleBasedStateMachine):
    """One Pi's life."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="loomio-life-")
        self._clocks: AbstractContextManager[None] | None = None

    @initialize(
        local=policies,
        drive=policies,
        limit=st.one_of(st.none(), st.none(), st.integers(300, 3000)),
        capacity=st.fixed_dictionaries({"local": _CAPACITY, "drive": _CAPACITY}),
        verified_kept=st.integers(0, 2),
    )
    def begin(
        self,
        local: Retention,
        drive: Retention,
        limit: int | None,
        capacity: dict[str, int | None],
        verified_kept: int,
    ) -> None:
        limited = drive.model_copy(update={"space_limit_bytes": limit and limit * MEGABYTE})
        setting = Setting({"local": local, "drive": limited}, capacity, verified_kept=verified_kept)
        self.world = World(Path(self._directory.name), setting)
        self._clocks = self.world.clocks()
        self._clocks.__enter__()

    def teardown(self) -> None:
        try:
            if self._clocks is not None:
                if sys.exc_info()[0] is None:
                    self._end()
                self._clocks.__exit__(None, None, None)
                self.world.close()
        finally:
            self._directory.cleanup()

    # -- what happens ----------------------------------------------------------------------------------------

    @rule(
        reachable=_SOME,
        hours=st.integers(0, 30),
        new=st.integers(0, 3),
        left=st.integers(0, 2),
        size=st.integers(1, 100),
        fails=st.integers(0, 9),
    )
    def backup(self, reachable: set[str], hours: int, new: int, left: int, size: int, fails: int) -> None:
        """Time passes, and a backup is made: or its dump fails."""
        self._later(timedelta(hours=hours))
        self._backup(reachable, new, left, size * MEGABYTE, dump_fails=fails == 0)

    @rule(count=st.integers(2, 12), hours=st.sampled_from([1, 6, 24, 24 * 31]))
    def backups(self, count: int, hours: int) -> None:
        """Several in a row."""
        for _ in range(count):
            self._later(timedelta(hours=hours))
            self._backup({"local", "drive"}, new=1, left=0, size=10 * MEGABYTE)

    @rule(kinds=st.sampled_from([KINDS, ["local"], ["drive"]]))
    def prune(self, kinds: list[str]) -> None:
        """Twice: the second time nothing changes."""
        self._prune(kinds)
        before = {kind: self.world.stores[kind].names() for kind in KINDS}
        self._prune(kinds)
        assert before == {kind: self.world.stores[kind].names() for kind in KINDS}

    @rule(step=st.integers(1, 12), how=st.sampled_from(["before", "after", "refused"]))
    def prune_and_die(self, step: int, how: str) -> None:
        """The process dies around the n-th change of a store, or is refused it; the next prune ends it."""
        before = {kind: self._before(kind) for kind in KINDS}
        self.world.fuse.left, self.world.fuse.how = step, how  # type: ignore[assignment]
        try:
            reports = self.world.pruner.prune(self.world.stores)
        except Died:
            event("died while pruning")
            self.world.close()
            self.world.open()
            reports = []
        self.world.fuse.left = None
        for kind in KINDS:
            in_need = {one.name for report in reports if report.store == kind for one in report.in_need}
            self._nothing_dear_went(kind, before[kind], emergency=bool(in_need) or self._limited(kind))
        self._prune(KINDS)

    @rule(wrong=_CLOCK, synchronised=st.booleans())
    def clock_jumps(self, wrong: timedelta, synchronised: bool) -> None:
        self.world.wrong, self.world.synchronised = wrong, synchronised

    @rule()
    def clock_is_right_again(self) -> None:
        self.world.wrong, self.world.synchronised = timedelta(0), True

    @rule(days=st.integers(1, 20))
    def days_pass(self, days: int) -> None:
        self._later(timedelta(days=days))

    @precondition(lambda self: self.world.made)
    @rule(kind=st.sampled_from(KINDS), which=st.integers(0, 100), passed=st.booleans())
    def drill(self, kind: str, which: int, passed: bool) -> None:
        self.world.drill(kind, self._name(which), passed)

    @precondition(lambda self: self.world.made)
    @rule(which=st.integers(0, 100), by=st.sampled_from(["person", "program"]))
    def pin(self, which: int, by: str) -> None:
        self._all_reachable()
        self.world.pin(self._name(which), by)  # type: ignore[arg-type]

    @precondition(lambda self: self.world.made)
    @rule(which=st.integers(0, 100))
    def unpin(self, which: int) -> None:
        self.world.unpin(self._name(which))

    @rule(frozen=st.booleans())
    def freeze(self, frozen: bool) -> None:
        self.world.catalogue.set_meta("frozen", "the rows collapsed." if frozen else None)

    @rule()
    def resume(self) -> None:
        """What --resume does about backups that disappeared."""
        for kind in KINDS:
            for name in self.world.missing[kind]:
                self.world.catalogue.forget_stored(kind, name)
            self.world.missing[kind] = set()

    @rule(kind=st.sampled_from(KINDS), which=st.integers(0, 1000), spoilt=st.booleans())
    def lose(self, kind: str, which: int, spoilt: bool) -> None:
        """An object disappears or is spoilt (which a local folder shows of manifests only)."""
        names = sorted(self.world.stores[kind].names() - PEOPLES)
        names = [name for name in names if not name.endswith(".pin.age")]
        if spoilt and kind == "local":
            names = [name for name in names if name.endswith(SUFFIX)]
        if names:
            name = names[which % len(names)]
            (self.world.spoil if spoilt else self.world.lose)(kind, name)

    @rule(kind=st.sampled_from(KINDS))
    def stray_object(self, kind: str) -> None:
        """Something of ours that nobody remembers."""
        self.world.stray(kind)

    @rule()
    def lose_catalogue(self) -> None:
        self.world.lose_catalogue()

    @rule()
    def lists_lag(self) -> None:
        """What Drive got last is not in its lists for a while, and what goes from it is."""
        self.world.lag()

    # -- steps and their checks ------------------------------------------------------------------------------

    def _later(self, step: timedelta) -> None:
        self.world.time += step
        if step >= timedelta(hours=1):
            self.world.stores["drive"].catch_up()

    def _all_reachable(self) -> None:
        for store in self.world.stores.values():
            store.reachable = True

    def _name(self, which: int) -> str:
        names = sorted(self.world.made)
        return names[-1 - which % len(names)]

    def _limited(self, kind: str) -> bool:
        return self.world.setting.policies[kind].space_limit_bytes is not None

    def _before(self, kind: str) -> Before:
        return Before(self.world.truth(kind), self.world.stores[kind].names())

    def _backup(
        self, reachable: set[str], new: int, left: int, size: int, dump_fails: bool = False
    ) -> list[str]:
        """The stores that hold it."""
        begun = self.world.begin(reachable)
        if begun is None:
            self._all_reachable()
            return []
        histories, own = begun
        name, entries = self.world.contents(reachable, new, left, size)
        shared = frozenset(entry.name for entry in entries if entry.kind in ("pack", "index"))
        takers = []
        for kind in sorted(reachable):
            needed = self.world.lacking(kind, entries)
            before = self._before(kind)
            report = self.world.pruner.make_room(kind, histories, needed, in_use=shared)
            self._checked(kind, before, report)
            needed = self.world.lacking(kind, entries)
            fits = room.shortage(self.world.stores[kind], needed) == 0
            assert fits or report.problem is not None, "room was made, and is not there"
            if fits:
                takers.append(kind)
            event(f"room: {'made' if fits and report.freed else 'there' if fits else 'in vain'}")
        if dump_fails or not takers:
            self._all_reachable()
            return []
        self.world.publish(name, entries, takers, own)
        self._prune(takers, histories)
        self._all_reachable()
        return takers

    def _prune(self, kinds: list[str], known: Histories | None = None) -> None:
        if known is None:
            self._all_reachable()
        before = {kind: self._before(kind) for kind in kinds}
        for report in self.world.pruner.prune(self.world.stores, kinds, known=known):
            self._checked(report.store, before[report.store], report)
            listed = self.world.stores[report.store].ghosts is None
            if report.plan is not None and report.plan.stopped is None and listed:
                self._exact(before[report.store], report)

    def _checked(self, kind: str, before: Before, report: Report) -> None:
        self._nothing_dear_went(kind, before, emergency=bool(report.in_need))
        gone = self._gone(kind, before)
        if report.plan is not None and in_doubt(before.state):
            assert gone <= {one.name for one in report.in_need}, "removed in doubt"

    def _gone(self, kind: str, before: Before) -> set[str]:
        left = {backup.name for backup in self.world.truth(kind).backups}
        return {backup.name for backup in before.state.backups} - left

    def _nothing_dear_went(self, kind: str, before: Before, emergency: bool) -> None:
        """The brakes; and every backup that is left is as whole as it was."""
        after = {backup.name: backup for backup in self.world.truth(kind).backups}
        gone = self._gone(kind, before)
        newest_first = before.state.newest_first
        complete = [backup for backup in newest_first if backup.complete]
        verified = [backup.name for backup in complete if backup.verified]
        kept = min(1, self.world.setting.verified_kept) if emergency else self.world.setting.verified_kept
        dear = {backup.name for backup in (complete or newest_first)[:1]} | set(verified[:kept])
        dear |= {b.name for b in newest_first if b.pin == "person" or (b.pin and not emergency)}
        assert not gone & dear
        for backup in complete:
            assert backup.name in gone or after[backup.name].complete, "a backup lost what it needs"
        assert self.world.stores[kind].names() >= PEOPLES

    def _exact(self, before: Before, report: Report) -> None:
        """The settings and the brakes left what they should, and only watched objects are without a use."""
        kind = report.store
        policy = self.world.setting.policies[kind]
        keep = naively_kept(before.state, policy, self.world.config.timezone, self.world.config.verified_kept)
        held = {one.name for one in report.plan.decisions if one.action == "held back"}  # type: ignore[union-attr]
        left = {backup.name for backup in self.world.truth(kind).backups}
        assert left == (keep | held) - {one.name for one in report.in_need}
        if report.problem is None and report.clearing is not None:
            watched = {stored.name for stored in report.clearing.waiting}
            assert self.world.unreferenced(kind) == watched - self.world.stores[kind].doubled()

    # -- the end ---------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """A person comes and puts things right: then the Pi backs up, and everything superfluous goes."""
        self._all_reachable()
        self.clock_is_right_again()
        self._later(timedelta(days=500))
        self.world.catalogue.set_meta("frozen", None)
        self.resume()
        for name in sorted(self.world.by):
            self.world.unpin(name)
        for kind, name in sorted(self.world.spoiled):
            if name.endswith(SUFFIX):
                self.world.stores[kind].lose(name)
                self.world.catalogue.forget_stored(kind, name)
                self.world.spoiled.discard((kind, name))
        self.world.verify_nothing()
        self._able_to_back_up()
        for _ in range(len(self.world.made) // 10 + 12):
            self._later(timedelta(days=1, minutes=1))
            self._backup(set(KINDS), new=0, left=0, size=MEGABYTE)
            self._prune(KINDS)
        for kind in KINDS:
            truth = self.world.truth(kind)
            policy = self.world.setting.policies[kind]
            keep = naively_kept(truth, policy, self.world.config.timezone, self.world.config.verified_kept)
            assert {backup.name for backup in truth.backups} == keep
            assert self.world.unreferenced(kind) | self.world.stores[kind].doubled() == set()

    def _able_to_back_up(self) -> None:
        """A store that can hold the newest complete backup beside a new one gets the new one."""
        size = 20 * MEGABYTE
        _, entries = self.world.contents(set(KINDS), 1, 0, size)
        able = {kind for kind in KINDS if self._has_to_fit(kind, self.world.lacking(kind, entries))}
        event(f"able to back up: {sorted(able)}")
        assert able <= set(self._backup(set(KINDS), new=1, left=0, size=size))

    def _has_to_fit(self, kind: str, needed: int) -> bool:
        capacity = self.world.setting.capacity[kind]
        newest = self.world.truth(kind).newest_complete
        dear = len(PEOPLES) * MEGABYTE + self.world.unreferenced_bytes(kind)
        if newest is not None:
            dear += self.world.bytes_of(kind, newest.name)
        return capacity is None or dear + needed + KEEP[kind] <= capacity


def holds(examples: int, steps: int, fixed: bool = False) -> None:
    """Live so many random lives of at most so many steps; `fixed`: always the same ones."""
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=fixed,
            suppress_health_check=list(HealthCheck),
        ),
    )
