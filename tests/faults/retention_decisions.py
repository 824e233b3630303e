"""Retention's decisions on random histories: whatever the clocks did, the brakes hold, and the settings keep
what their definition says.

The definition is written down a second time here, naively. `holds(name, examples)` runs one check: `make
test` a hundred examples of each, `make faults` many thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from loomio_backup.config import Retention
from loomio_backup.monitoring import emergency
from loomio_backup.retention import retention
from loomio_backup.retention.retention import Backup, Plan, StoreState

ZONES = ["Etc/UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Kiritimati"]
START = datetime(2026, 10, 20, tzinfo=UTC)  # five days before the clocks go back in Europe

_STEPS = st.one_of(
    st.just(timedelta(hours=1)),
    st.timedeltas(timedelta(minutes=1), timedelta(hours=30)),
    st.timedeltas(timedelta(days=1), timedelta(days=70)),
)
_JUMPS = st.one_of(_STEPS, st.timedeltas(timedelta(days=-400), timedelta(days=400)))
_COUNTS = st.integers(0, 5)

policies = st.builds(
    Retention,
    hourly=_COUNTS,
    daily=_COUNTS,
    weekly=_COUNTS,
    monthly=_COUNTS,
    yearly=_COUNTS,
    days=st.one_of(st.none(), st.integers(0, 40)),
)


@st.composite
def histories(draw: st.DrawFn, jumping: bool = True, most: int = 60) -> list[Backup]:
    """Backups in the order they were made, of one or several generations; clocks may jump between them."""
    backups: list[Backup] = []
    moment, generation, sequence = START, 1, 0
    for step in draw(st.lists(_JUMPS if jumping else _STEPS, max_size=most)):
        moment += step
        sequence += 1
        if draw(st.integers(0, 19)) == 0:
            generation, sequence = generation + 1, 1
        packs = draw(st.frozensets(st.sampled_from([f"p{number}" for number in range(12)]), max_size=5))
        backups.append(
            Backup(
                name=f"b{generation}.{sequence}",
                generation=generation,
                sequence=sequence,
                snapshot_at=moment,
                complete=draw(st.integers(0, 9)) > 0,
                verified=draw(st.integers(0, 5)) == 0,
                pin=draw(st.sampled_from([None, None, None, None, None, "person", "program"])),
                elsewhere=draw(st.booleans()),
                own_bytes=draw(st.integers(1, 1000)),
                shared=packs,
            )
        )
    return draw(st.permutations(backups)) if draw(st.booleans()) else backups


@st.composite
def states(draw: st.DrawFn) -> StoreState:
    """A store in any condition."""
    backups = draw(histories())
    newest = max((backup for backup in backups), key=lambda backup: backup.order, default=None)
    now = (newest.snapshot_at if newest else START) + draw(
        st.one_of(
            st.timedeltas(timedelta(0), timedelta(days=2)),
            st.timedeltas(timedelta(days=-400), timedelta(days=400)),
        )
    )
    rarely = st.one_of(st.none(), st.none(), st.none(), st.none())
    return StoreState(
        store="local",
        backups=backups,
        now=now,
        pi_now=now
        + draw(st.one_of(st.just(timedelta(0)), st.timedeltas(timedelta(hours=-1), timedelta(hours=1)))),
        clock_synchronised=draw(st.integers(0, 9)) > 0,
        barred=draw(st.one_of(rarely, st.just("barred"))),
        frozen=draw(st.one_of(rarely, st.just("frozen"))),
        missing=draw(st.one_of(st.just(()), st.just(()), st.just(("gone.manifest.age",)))),
        unreadable=draw(st.one_of(st.just(()), st.just(()), st.just(("odd.manifest.age",)))),
        removed=draw(
            st.lists(st.timedeltas(timedelta(days=-3), timedelta(days=1)).map(now.__add__), max_size=30)
        ),
        sizes={f"p{number}": draw(st.integers(1, 3000)) for number in range(12)},
        deferred=draw(st.booleans()),
        in_use=draw(st.frozensets(st.sampled_from([f"p{number}" for number in range(12)]), max_size=3)),
    )


# -- the definition, once more -------------------------------------------------------------------------------


def naively_wanted(backups: Sequence[Backup], policy: Retention, timezone: str) -> set[str]:
    """Of every period take the newest backup; of these keep the newest so many."""
    local = UTC if timezone == "Etc/UTC" else ZoneInfo(timezone)
    rules: list[tuple[int, Callable[[datetime], object]]] = [
        (policy.hourly, lambda at: (at.date(), at.hour, at.utcoffset())),
        (policy.daily, lambda at: at.date()),
        (policy.weekly, lambda at: at.date() - timedelta(days=at.weekday())),
        (policy.monthly, lambda at: (at.year, at.month)),
        (policy.yearly, lambda at: at.year),
    ]
    wanted: set[str] = set()
    for count, period_of in rules:
        newest_of: dict[object, Backup] = {}
        for backup in backups:
            period = period_of(backup.snapshot_at.astimezone(local))
            if period not in newest_of or newest_of[period].order < backup.order:
                newest_of[period] = backup
        last = sorted(newest_of.values(), key=lambda backup: backup.order, reverse=True)[:count]
        wanted |= {backup.name for backup in last}
    if policy.days is not None and backups:
        newest = max(backups, key=lambda backup: backup.order)
        wanted |= {
            backup.name
            for backup in backups
            if backup.snapshot_at + timedelta(days=policy.days) >= newest.snapshot_at
        }
    return wanted


def naively_kept(state: StoreState, policy: Retention, timezone: str, verified_kept: int) -> set[str]:
    """What an ordinary pruning must leave."""
    backups = sorted(state.backups, key=lambda backup: backup.order)
    complete = [backup for backup in backups if backup.complete]
    proven = [backup for backup in complete if backup.verified]
    keep = naively_wanted(complete, policy, timezone) | naively_wanted(backups, policy, timezone)
    keep |= {backup.name for backup in backups if backup.pin}
    keep |= {backup.name for backup in proven[::-1][:verified_kept]}
    return keep | {b.name for b in backups if not complete or b.order >= complete[-1].order}


def in_doubt(state: StoreState) -> bool:
    """Whether nothing may be removed."""
    backups = sorted(state.backups, key=lambda backup: backup.order)
    minutes = timedelta(minutes=5)
    return bool(
        state.barred
        or state.frozen
        or state.missing
        or state.unreadable
        or not state.clock_synchronised
        or not -minutes <= state.now - state.pi_now <= minutes
        or (backups and backups[-1].snapshot_at > state.now + minutes)
        or (backups and not any(backup.complete for backup in backups))
    )


# -- checks --------------------------------------------------------------------------------------------------


@given(histories(), policies, st.sampled_from(ZONES))
def settings_keep_what_they_say(backups: list[Backup], policy: Retention, timezone: str) -> None:
    """`wanted` is its definition, whatever clocks did."""
    assert retention.wanted(backups, policy, timezone) == naively_wanted(backups, policy, timezone)


@given(histories(jumping=False), st.integers(1, 6), st.sampled_from(ZONES))
def days_are_the_last_days(backups: list[Backup], count: int, timezone: str) -> None:
    """With clocks that run, the last days by backups are the last days by the calendar."""
    local = ZoneInfo(timezone)
    policy = Retention(hourly=0, daily=count, weekly=0, monthly=0, yearly=0)
    kept = retention.wanted(backups, policy, timezone)
    days = sorted({backup.snapshot_at.astimezone(local).date() for backup in backups})[-count:]
    of_kept = sorted(backup.snapshot_at.astimezone(local).date() for backup in backups if backup.name in kept)
    assert of_kept == days


@given(states(), policies, st.sampled_from(ZONES), st.integers(0, 3))
def brakes_hold(state: StoreState, policy: Retention, timezone: str, verified_kept: int) -> None:
    """What is to stay stays, in doubt everything; every backup gets one decision, and its reason."""
    plan = retention.plan(state, policy, timezone, verified_kept)
    kept = naively_kept(state, policy, timezone, verified_kept)
    assert sorted(one.name for one in plan.decisions) == sorted(one.name for one in state.backups)
    assert {one.name for one in plan.decisions if one.action == "keep"} == kept
    assert all(one.reason for one in plan.decisions)
    removed = _names(plan)
    if in_doubt(state):
        assert plan.stopped and not removed
        return
    assert plan.stopped is None
    lately = [
        at for at in state.removed if state.now - timedelta(hours=24) < at <= state.now + timedelta(minutes=5)
    ]
    present = len(state.backups)
    assert len(removed) + len(lately) <= max(10, (present + len(lately)) // 3, len(lately))
    order = {backup.name: backup.order for backup in state.backups}
    held = [order[one.name] for one in plan.decisions if one.action == "held back"]
    assert all(order[name] < other for name in removed for other in held), "the oldest go first"
    event(f"removes {min(len(removed), 3)}, holds back {min(len(held), 3)}")


@given(states(), policies, st.sampled_from(ZONES), st.integers(0, 3))
def again_changes_nothing(state: StoreState, policy: Retention, timezone: str, verified_kept: int) -> None:
    """A second prune at once removes nothing; one a day later, and so on, comes to what is to stay."""
    state = replace(state, barred=None, frozen=None, missing=(), unreadable=(), clock_synchronised=True)
    state = replace(state, pi_now=state.now)
    assume(not in_doubt(state))
    kept = naively_kept(state, policy, timezone, verified_kept)
    for _ in range(len(state.backups) // 10 + 5):
        plan = retention.plan(state, policy, timezone, verified_kept)
        removed = _names(plan)
        state = replace(state, removed=[*state.removed, *[state.now] * len(removed)]).without(removed)
        second = retention.plan(state, policy, timezone, verified_kept)
        assert not second.removals
        later = state.now + timedelta(days=1, seconds=1)
        state = replace(state, now=later, pi_now=later)
    assert {backup.name for backup in state.backups} == kept


@given(states(), policies, st.sampled_from(ZONES), st.integers(0, 3), st.integers(0, 20_000))
def room_is_made_when_it_can_be(
    state: StoreState, policy: Retention, timezone: str, verified_kept: int, needed: int
) -> None:
    """In need all goes but what must stay: as much as is needed, or nothing when it is in vain."""
    plan = emergency.make_room(state, policy, timezone, verified_kept, needed)
    gone = {one.name for one in plan.removals}
    stays = _must_stay(state, verified_kept)
    assert not gone & stays
    possible = _freed(state, {backup.name for backup in state.backups} - stays)
    if state.barred and needed:
        assert plan.problem and not gone
    elif possible >= needed:
        assert plan.problem is None
        assert plan.freed == _freed(state, gone) >= needed
        if gone:
            assert _freed(state, gone - {plan.removals[-1].name}) < needed, "one less would have been enough"
    else:
        assert plan.problem and not gone
        assert all(backup.name in plan.problem for backup in state.backups if backup.pin)
    unneeded = {one.name for one in state.backups} - naively_kept(state, policy, timezone, verified_kept)
    if gone - unneeded:
        assert unneeded <= gone, "what the settings do not keep goes first"
    event("in vain" if plan.problem else f"removes {min(len(gone), 3)}")


@given(states(), policies, st.integers(0, 20_000))
def a_person_can_always_help(state: StoreState, policy: Retention, needed: int) -> None:
    """Without pins, with all manifests readable, only the newest complete and the last verified stay."""
    state = replace(
        state,
        backups=[replace(backup, pin=None) for backup in state.backups],
        barred=None,
        missing=(),
        unreadable=(),
        deferred=False,
        in_use=frozenset(),
    )
    stays = _must_stay(state, 2)
    assert len(stays) <= 2
    plan = emergency.make_room(state, policy, "Etc/UTC", 2, needed)
    possible = _freed(state, {backup.name for backup in state.backups} - stays)
    assert (plan.problem is None) == (possible >= needed)


def _must_stay(state: StoreState, verified_kept: int) -> set[str]:
    backups = sorted(state.backups, key=lambda backup: backup.order, reverse=True)
    complete = [backup for backup in backups if backup.complete]
    stays = {backup.name for backup in backups if backup.pin == "person"}
    stays |= {backup.name for backup in (complete or backups)[:1]}
    if verified_kept:
        stays |= {backup.name for backup in [one for one in complete if one.verified][:1]}
    for backup in [one for one in complete if one.pin == "program"][:1]:
        if not backup.elsewhere:
            stays.add(backup.name)
    return stays


def _freed(state: StoreState, gone: set[str]) -> int:
    """Bytes that these removals free, counted from what is left."""
    freed = sum(backup.own_bytes for backup in state.backups if backup.name in gone)
    if state.missing or state.unreadable or state.deferred:
        return freed
    before = {name for backup in state.backups for name in backup.shared}
    left = {name for backup in state.backups if backup.name not in gone for name in backup.shared}
    return freed + sum(state.sizes[name] for name in before - left - state.in_use)


def _names(plan: Plan) -> set[str]:
    return {decision.name for decision in plan.removals}


CHECKS: dict[str, Callable[[], None]] = {
    check.__name__: check
    for check in (
        settings_keep_what_they_say,
        days_are_the_last_days,
        brakes_hold,
        again_changes_nothing,
        room_is_made_when_it_can_be,
        a_person_can_always_help,
    )
}


def holds(name: str, examples: int, fixed: bool = False) -> None:
    """Run one check on so many examples; `fixed`: always the same ones."""
    settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=fixed,
        suppress_health_check=list(HealthCheck),
    )(CHECKS[name])()
