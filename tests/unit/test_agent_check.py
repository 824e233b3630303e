"""How old the newest backup may be, by the schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from loomio_backup.check import longest_gap

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("0 * * * *", 1),
        ("0 */6 * * *", 6),
        ("0 2 * * *", 24),
        ("0 8-20 * * *", 12),
        ("0 3 * * MON", 168),
        ("0 9 * * MON-FRI", 72),
    ],
)
def test_longest_gap(schedule: str, hours: int) -> None:
    assert longest_gap(schedule, "Etc/UTC", NOW) == timedelta(hours=hours)


def test_the_day_with_25_hours_counts() -> None:
    assert longest_gap("0 1 * * *", "Europe/Berlin", NOW) == timedelta(hours=25)
