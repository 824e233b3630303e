"""How young the newest backup of a store has to be: pure, from the schedule.

The schedule is exact: a backup is late when its successor should have been made and is not there an hour
later. So a weekly backup that did not come on Monday is noticed on Monday, and a Drive that gets one a day is
not judged by the hours of the local store.
"""

from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from loomio_backup.config import Config, zone

GRACE = timedelta(hours=1)
"""For jitter of the timer, for the work itself, and for a Pi that has just been switched on."""


def next_due(config: Config, kind: str, after: datetime) -> datetime:
    """When the next backup is to be made that goes to this store: the first one after `after` (UTC)."""
    schedule = config.stores.drive.schedule if kind == "drive" and config.stores.drive else None
    if schedule is None:
        return firing(config, config.schedule, after)
    # Drive takes part in the first backup that is made when its own turn has come.
    turn = firing(config, schedule, after)
    return firing(config, config.schedule, turn - timedelta(seconds=1))


def is_drives_turn(config: Config, newest: datetime | None, now: datetime) -> bool:
    """Whether Drive takes part in a backup now, when its newest backup is of `newest` (UTC; None: none)."""
    drive = config.stores.drive
    if drive is None or drive.schedule is None or newest is None or newest > now:
        return drive is not None
    return firing(config, drive.schedule, newest) <= now


def late_at(config: Config, kind: str, newest: datetime) -> datetime:
    """From when on a store whose newest backup is of `newest` (UTC) lacks one."""
    hours = config.watch.stale_after_hours
    if hours is not None:
        return newest + timedelta(hours=hours)
    return next_due(config, kind, newest) + GRACE


def firing(config: Config, schedule: str, after: datetime) -> datetime:
    """When a schedule of this Pi fires next after a moment; both are UTC."""
    # CronSim knows the days on which the clocks change, and yields moments strictly later than its start.
    return next(CronSim(schedule, after.astimezone(zone(config.timezone)))).astimezone(UTC)
