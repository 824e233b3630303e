"""Timers elapse when a cron library says: a sample of the series, on the systemd of both releases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deploys.steps import cron
from tests.faults import schedule_series as series

from .pi import Release, image

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(("release", "seed"), [("bookworm", 11), ("trixie", 12)])
def test_generated_expressions(release: Release, seed: int) -> None:
    outcome = series.run(image(release), 120, seed)
    assert outcome.expressions + outcome.left_out == 120
    assert outcome.firings > 1000
    assert outcome.two_lines
    assert outcome.across_a_change


#: Berlin's clocks went from 2:00 to 3:00 at 1:00 UTC on 28 March 2027, and go back on 31 October.
SPRING, AUTUMN = datetime(2027, 3, 28, 1, tzinfo=UTC), datetime(2027, 10, 31, 1, tzinfo=UTC)


def hours_around(release: Release, expression: str, change: datetime) -> list[int]:
    """When the timer elapses, in minutes after the change."""
    [line] = cron.on_calendar(expression, "Europe/Berlin")
    [moments] = series.elapses(image(release), change - timedelta(hours=3), [line])
    minutes = [round((moment - change).total_seconds() / 60) for moment in moments]
    return [minute for minute in minutes if minute < 180]


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_what_is_hourly_comes_every_hour_whatever_the_clocks_do(release: Release) -> None:
    for change in (SPRING, AUTUMN):
        assert hours_around(release, "0 * * * *", change) == [-120, -60, 0, 60, 120]


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_a_time_that_is_skipped_does_not_come_and_one_that_comes_twice_counts_once(release: Release) -> None:
    assert hours_around(release, "30 2 * * *", SPRING) == []
    assert hours_around(release, "30 2 * * *", AUTUMN) == [-30]


def test_a_difference_would_be_found() -> None:
    """The comparison itself: one firing too many, one too few, one by cron alone where clocks change."""
    base = datetime(2027, 3, 27, 12, tzinfo=UTC)
    case = series.Case("30 2 * * *", "Europe/Berlin", base)
    lines = cron.on_calendar(case.expression, case.zone)
    good = [SPRING + timedelta(days=day, minutes=-30) for day in range(1, series.ITERATIONS + 1)]
    series.compare(case, lines, [good], outcome := series.Outcome())
    assert outcome.firings_that_only_cron_has == 1
    for bad in (good[:3] + good[4:] + [good[-1] + timedelta(days=1)], [base, *good[:-1]]):
        with pytest.raises(AssertionError):
            series.compare(case, lines, [bad], series.Outcome())
