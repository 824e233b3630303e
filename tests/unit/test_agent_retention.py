"""What retention decides: the settings word for word, each brake, each doubt, and what goes in need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loomio_backup.config import Retention
from loomio_backup.monitoring import emergency
from loomio_backup.retention import retention
from loomio_backup.retention.retention import Backup, Plan, StoreState

NOTHING = Retention(hourly=0, daily=0, weekly=0, monthly=0, yearly=0)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday


def _made(*moments: str) -> list[Backup]:
    """Backups of these moments, in this order; named by them."""
    return [
        Backup(moment, 1, number, datetime.fromisoformat(moment + "+00:00"))
        for number, moment in enumerate(moments, start=1)
    ]


def _hourly(count: int, until: datetime = NOW) -> list[Backup]:
    """One an hour, the newest at `until`; named 1, 2 …"""
    return [
        Backup(str(number), 1, number, until - timedelta(hours=count - number))
        for number in range(1, count + 1)
    ]


def _state(backups: Iterable[Backup], **more: Any) -> StoreState:
    return replace(StoreState("local", list(backups), NOW, NOW), **more)


def _kept(plan: Plan) -> list[str]:
    return [one.name for one in plan.decisions if one.action == "keep"]


def _wanted(backups: Iterable[Backup], zone: str = "Etc/UTC", **counts: int) -> list[str]:
    return sorted(retention.wanted(backups, NOTHING.model_copy(update=counts), zone))


# -- the settings --------------------------------------------------------------------------------------------


def test_the_newest_of_each_of_the_last_periods() -> None:
    made = _made(
        "2025-12-31T23:00", "2026-01-01T01:00", "2026-10-31T20:00", "2026-11-01T08:00", "2026-11-15T23:30",
        "2026-11-16T00:30", "2026-11-21T10:00", "2026-11-22T10:00", "2026-11-22T23:10", "2026-11-23T11:05",
        "2026-11-23T11:55",
    )  # fmt: skip
    assert _wanted(made, hourly=2) == ["2026-11-22T23:10", "2026-11-23T11:55"]
    assert _wanted(made, daily=3) == ["2026-11-21T10:00", "2026-11-22T23:10", "2026-11-23T11:55"]
    # Weeks begin on Monday: the 16th and the 23rd of November 2026 are Mondays.
    assert _wanted(made, weekly=3) == ["2026-11-15T23:30", "2026-11-22T23:10", "2026-11-23T11:55"]
    assert _wanted(made, monthly=3) == ["2026-01-01T01:00", "2026-10-31T20:00", "2026-11-23T11:55"]
    assert _wanted(made, yearly=3) == ["2025-12-31T23:00", "2026-11-23T11:55"]
    assert _wanted(made) == []


def test_periods_are_those_of_the_pis_time_zone() -> None:
    made = _made("2026-11-22T22:30", "2026-11-22T23:30")
    assert _wanted(made, daily=2) == ["2026-11-22T23:30"]
    assert _wanted(made, daily=2, zone="Europe/Berlin") == ["2026-11-22T22:30", "2026-11-22T23:30"]


def test_the_hour_that_comes_twice_in_autumn_is_two_hours() -> None:
    made = _made("2026-10-25T00:30", "2026-10-25T01:30")  # 02:30 in Berlin, both
    assert _wanted(made, hourly=5, zone="Europe/Berlin") == ["2026-10-25T00:30", "2026-10-25T01:30"]
    assert _wanted(made, daily=5, zone="Europe/Berlin") == ["2026-10-25T01:30"]


def test_the_week_around_new_year_is_one_week() -> None:
    made = _made("2026-12-28T12:00", "2027-01-03T12:00", "2027-01-04T12:00")
    assert _wanted(made, weekly=2) == ["2027-01-03T12:00", "2027-01-04T12:00"]
    assert _wanted(made, yearly=2) == ["2026-12-28T12:00", "2027-01-04T12:00"]


def test_days_alone_keep_everything_of_the_last_days_and_nothing_else() -> None:
    """BACKUP_RETENTION_DAYS=30, as the older scripts understood it."""
    made = _made("2026-10-23T11:59", "2026-10-24T12:00", "2026-10-24T18:00", "2026-11-23T12:00")
    assert _wanted(made, days=30) == ["2026-10-24T12:00", "2026-10-24T18:00", "2026-11-23T12:00"]
    assert _wanted(made, days=0) == ["2026-11-23T12:00"]


def test_newest_is_never_a_matter_of_the_clock() -> None:
    """A backup that the clock dated into the future takes one place among the last days, and loses it."""
    made = _made(
        "2026-11-20T12:00", "2031-01-01T12:00", "2026-11-21T12:00", "2026-11-22T12:00", "2026-11-22T09:00"
    )
    assert _wanted(made, daily=2) == ["2026-11-21T12:00", "2026-11-22T09:00"]


# -- the brakes ----------------------------------------------------------------------------------------------


def test_every_decision_has_its_reason_in_words() -> None:
    made = _hourly(5)
    made[0] = replace(made[0], pin="person")
    made[1] = replace(made[1], verified=True)
    made[4] = replace(made[4], complete=False)
    plan = retention.plan(_state(made), NOTHING.model_copy(update={"daily": 1}), "Etc/UTC", 2)
    assert [(one.name, one.action, one.reason) for one in plan.decisions] == [
        (
            "5",
            "keep",
            "newer than the newest complete backup, the newest of the day 2026-11-23, though incomplete",
        ),
        ("4", "keep", "the newest complete backup, the newest of the day 2026-11-23"),
        ("3", "remove", "of the day 2026-11-23 4 is kept"),
        ("2", "keep", "the last verified backup"),
        ("1", "keep", "pinned"),
    ]
    old = retention.plan(_state(_made("2020-01-01T00:00", "2026-11-23T10:00")), NOTHING, "Etc/UTC", 2)
    assert old.decisions[1].reason == "older than what the settings keep"


def test_the_last_verified_backups_stay() -> None:
    made = [replace(one, verified=one.name in ("2", "3", "5")) for one in _hourly(8)]
    for count, kept in ((0, ["8"]), (1, ["8", "5"]), (2, ["8", "5", "3"]), (9, ["8", "5", "3", "2"])):
        assert _kept(retention.plan(_state(made), NOTHING, "Etc/UTC", count)) == kept
    broken = [replace(one, complete=one.name != "5") for one in made]
    assert _kept(retention.plan(_state(broken), NOTHING, "Etc/UTC", 1)) == ["8", "3"]


def test_an_incomplete_backup_takes_no_complete_ones_place() -> None:
    made = _made("2026-11-21T10:00", "2026-11-21T18:00", "2026-11-22T10:00", "2026-11-23T10:00")
    made[1] = replace(made[1], complete=False)
    plan = retention.plan(_state(made), NOTHING.model_copy(update={"daily": 3}), "Etc/UTC", 2)
    assert len(_kept(plan)) == 4
    plan = retention.plan(_state(made), NOTHING.model_copy(update={"daily": 2}), "Etc/UTC", 2)
    assert [one.name for one in plan.removals] == ["2026-11-21T10:00", "2026-11-21T18:00"]


def test_many_removals_go_in_stages_a_day_apart() -> None:
    state, sizes = _state(_hourly(100)), []
    for _ in range(8):
        plan = retention.plan(state, NOTHING, "Etc/UTC", 2)
        gone = {one.name for one in plan.removals}
        state = replace(state, removed=[*state.removed, *[state.now] * len(gone)]).without(gone)
        assert retention.plan(state, NOTHING, "Etc/UTC", 2).removals == ()
        later = state.now + timedelta(days=1, seconds=1)
        state = replace(state, now=later, pi_now=later)
        sizes.append(len(gone))
    assert sizes == [33, 22, 15, 10, 10, 9, 0, 0]
    assert [backup.name for backup in state.backups] == ["100"]
    held = retention.plan(_state(_hourly(12)), NOTHING, "Etc/UTC", 2).decisions[1]
    assert (held.action, held.reason) == (
        "held back",
        "of the day 2026-11-23 12 is kept; but so many go in stages, a day apart",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"barred": "this machine never deletes there"}, "never deletes"),
        ({"frozen": "rows collapsed."}, "retention is frozen: rows collapsed"),
        ({"missing": ("x.manifest.age",)}, "x.manifest.age disappeared"),
        ({"unreadable": ("x.manifest.age", "y", "z")}, "x.manifest.age and 2 more cannot be read"),
        ({"clock_synchronised": False}, "not synchronised"),
        ({"pi_now": NOW + timedelta(minutes=6)}, "differ by 6 min"),
        ({"pi_now": NOW - timedelta(minutes=6)}, "differ by 6 min"),
        (
            {"now": NOW - timedelta(hours=2), "pi_now": NOW - timedelta(hours=2)},
            "was made 2 h 0 min in the future",
        ),
        ({"backups": [replace(one, complete=False) for one in _hourly(3)]}, "no backup in it is complete"),
    ],
)
def test_any_doubt_stops_everything(change: dict[str, Any], said: str) -> None:
    plan = retention.plan(replace(_state(_hourly(30)), **change), NOTHING, "Etc/UTC", 2)
    assert plan.removals == ()
    assert plan.stopped is not None and said in plan.stopped
    assert {one.action for one in plan.decisions} <= {"keep", "held back"}


def test_without_doubt_the_same_goes_on() -> None:
    """Clocks that are a little apart are no doubt, nor is an older backup that is dated into the future."""
    apart = _state(_hourly(30), pi_now=NOW + timedelta(minutes=4))
    assert retention.plan(apart, NOTHING, "Etc/UTC", 2).removals
    dated = _made("2031-01-01T00:00", "2026-11-23T11:00", "2026-11-23T12:00")
    plan = retention.plan(_state(dated), NOTHING, "Etc/UTC", 2)
    assert [one.name for one in plan.removals] == ["2031-01-01T00:00", "2026-11-23T11:00"]


def test_what_a_wrong_clock_removed_in_the_future_stops_nothing_for_years() -> None:
    state = _state(_hourly(12), removed=[NOW + timedelta(days=1000)] * 500)
    assert len(retention.plan(state, NOTHING, "Etc/UTC", 2).removals) == 10


# -- in need -------------------------------------------------------------------------------------------------


def _room(state: StoreState, needed: int, policy: Retention = NOTHING) -> emergency.RoomPlan:
    return emergency.make_room(state, policy, "Etc/UTC", 2, needed)


def test_in_need_the_least_valuable_goes_first_and_no_more_than_needed() -> None:
    made = [replace(one, own_bytes=10) for one in _hourly(6)]
    made[0] = replace(made[0], pin="program")
    made[1] = replace(made[1], pin="program", elsewhere=True)
    made[2] = replace(made[2], pin="person")
    policy = NOTHING.model_copy(update={"hourly": 2})
    state = _state(made, frozen="frozen.", clock_synchronised=False, removed=[NOW] * 500)
    for needed, gone in (
        (1, ["4"]),
        (10, ["4"]),
        (11, ["4", "5"]),
        (21, ["4", "5", "1"]),
        (40, ["4", "5", "1", "2"]),
    ):
        plan = _room(state, needed, policy)
        assert [one.name for one in plan.removals] == gone
        assert plan.freed == 10 * len(gone)
    vain = _room(state, 41, policy)
    assert vain.removals == ()
    assert vain.problem is not None
    assert "free only 40 bytes, so none was removed" in vain.problem
    assert "unpin what need not stay (3, 2, 1): loomio-backup unpin NAME" in vain.problem


def test_shared_objects_go_with_their_last_backup() -> None:
    made = [
        replace(one, own_bytes=1, shared=frozenset(packs))
        for one, packs in zip(_hourly(4), ({"a", "b"}, {"a", "c"}, {"c", "d"}, {"d"}), strict=True)
    ]
    sizes = {"a": 100, "b": 10, "c": 1000, "d": 5000}
    state = _state(made, sizes=sizes)
    assert [one.name for one in _room(state, 11).removals] == ["1"]
    assert [one.name for one in _room(state, 12).removals] == ["1", "2"]
    assert _room(state, 112).freed == 112
    assert [one.name for one in _room(state, 113).removals] == ["1", "2", "3"]
    assert _room(state, 1114).problem is not None, "the newest complete one and its pack stay"
    assert _room(replace(state, in_use={"a"}), 113).freed == 1013
    changes: list[dict[str, Any]] = [{"unreadable": ["x"]}, {"missing": ["x"]}, {"deferred": True}]
    for change in changes:
        assert _room(replace(state, **change), 4).problem is not None
        assert _room(replace(state, **change), 3).freed == 3


def test_the_last_verified_backup_stays_even_in_need() -> None:
    made = [replace(one, own_bytes=1, verified=one.name in ("1", "2")) for one in _hourly(4)]
    assert [one.name for one in _room(_state(made), 2).removals] == ["3", "1"]
    assert _room(_state(made), 3).problem is not None
    assert emergency.make_room(_state(made), NOTHING, "Etc/UTC", 0, 3).freed == 3


def test_of_what_the_program_pinned_the_newest_stays_unless_there_is_another_copy() -> None:
    made = [
        replace(one, own_bytes=1, pin="program" if one.name in ("1", "2") else None) for one in _hourly(3)
    ]
    assert [one.name for one in _room(_state(made), 1).removals] == ["1"]
    assert _room(_state(made), 2).problem is not None
    made[1] = replace(made[1], elsewhere=True)
    assert [one.name for one in _room(_state(made), 2).removals] == ["1", "2"]


def test_without_a_complete_backup_the_newest_stays() -> None:
    made = [replace(one, own_bytes=1, complete=False) for one in _hourly(3)]
    assert [one.name for one in _room(_state(made), 2).removals] == ["1", "2"]
    assert _room(_state(made), 3).problem is not None


def test_where_we_must_not_delete_nothing_goes_even_in_need() -> None:
    made = [replace(one, own_bytes=1) for one in _hourly(3)]
    plan = _room(_state(made, barred="this machine never deletes there"), 1)
    assert plan.removals == ()
    assert plan.problem is not None and "never deletes there" in plan.problem
