"""When the next backup of a store is due, and from when on it is late: by the schedule, to the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup.config import Config, DriveStore, LocalStore, Stores, Watch
from loomio_backup.encryption import crypto
from loomio_backup.monitoring.freshness import GRACE, late_at, next_due

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def _config(
    schedule: str, drive: str | None = None, timezone: str = "Etc/UTC", hours: int | None = None
) -> Config:
    return Config(
        host="pi",
        stores=Stores(local=LocalStore(path=Path("/backups")), drive=DriveStore(schedule=drive)),
        recipients=[crypto.recipient_of(crypto.generate_identity())],
        signing_public_key=crypto.generate_signing_key()[1],
        schedule=schedule,
        timezone=timezone,
        watch=Watch(stale_after_hours=hours),
    )


@pytest.mark.parametrize(
    ("schedule", "newest", "due"),
    [
        ("0 * * * *", MONDAY.replace(hour=12, minute=5), MONDAY.replace(hour=13)),
        ("0 */6 * * *", MONDAY.replace(hour=12, minute=5), MONDAY.replace(hour=18)),
        ("0 2 * * *", MONDAY.replace(hour=2), MONDAY.replace(day=24, hour=2)),
        # On a Monday the next one is a day away, on a Friday a weekend.
        ("0 9 * * MON-FRI", MONDAY.replace(hour=9, minute=3), MONDAY.replace(day=24, hour=9)),
        ("0 9 * * MON-FRI", MONDAY.replace(day=27, hour=9, minute=3), MONDAY.replace(day=30, hour=9)),
        ("0 3 * * MON", MONDAY.replace(hour=3, minute=1), MONDAY.replace(day=30, hour=3)),
    ],
)
def test_the_next_one_is_due_when_the_schedule_says(schedule: str, newest: datetime, due: datetime) -> None:
    for store in ("local", "drive"):
        assert next_due(_config(schedule), store, newest) == due
        assert late_at(_config(schedule), store, newest) == due + GRACE


def test_the_day_with_25_hours() -> None:
    before = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)  # 1:00 in Berlin, summer time for two more hours
    assert next_due(_config("0 1 * * *", timezone="Europe/Berlin"), "local", before) - before == timedelta(
        hours=25
    )


@pytest.mark.parametrize(
    ("drive", "due"),
    [
        ("0 */6 * * *", MONDAY.replace(hour=18)),
        # Drive's turn comes between two backups: it gets the next one.
        ("30 17 * * *", MONDAY.replace(hour=18)),
        ("30 23 * * *", MONDAY.replace(day=24, hour=0)),
        (None, MONDAY.replace(hour=13)),
    ],
)
def test_drive_may_be_rarer(drive: str | None, due: datetime) -> None:
    config = _config("0 * * * *", drive)
    newest = MONDAY.replace(hour=12, minute=5)
    assert next_due(config, "drive", newest) == due
    assert next_due(config, "local", newest) == MONDAY.replace(hour=13)


def test_a_setting_replaces_the_schedule() -> None:
    assert late_at(_config("0 * * * *", hours=30), "local", MONDAY) == MONDAY + timedelta(hours=30)
