"""What the settings ask to keep: the newest backup of each of the last hours, days, weeks (ISO 8601), months
and years that have one, in the Pi's time zone, and everything of the last so many days. Decisions only.

"Newest" is the highest (generation, sequence), so that no clock decides it; the "last" seven days are those
that the newest backups fall into.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from loomio_backup.config import Retention, zone


class Dated(Protocol):
    """What has to be known of a backup; catalogue.Summary is one."""

    @property
    def name(self) -> str:
        """`loomio_backup_…`."""

    @property
    def order(self) -> tuple[int, int]:
        """(generation, sequence)."""

    @property
    def snapshot_at(self) -> datetime:
        """The moment that it shows, in UTC."""


def reasons(backups: Iterable[Dated], policy: Retention, timezone: str) -> dict[str, list[str]]:
    """Why the settings keep a backup, by its name; all of `backups` count as complete."""
    newest_first = sorted(backups, key=lambda backup: backup.order, reverse=True)
    local = zone(timezone)
    found: dict[str, list[str]] = {}
    counts = (policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly)
    for period, count in zip(PERIODS, counts, strict=True):
        seen: set[str] = set()
        for backup in newest_first:
            label = period(backup.snapshot_at.astimezone(local))
            if len(seen) < count and label not in seen:
                seen.add(label)
                found.setdefault(backup.name, []).append(f"the newest of {label}")
    if policy.days is not None:
        for backup in newest_first:
            if newest_first[0].snapshot_at - backup.snapshot_at <= timedelta(days=policy.days):
                found.setdefault(backup.name, []).append(f"of the last {policy.days} days")
    return found


def _hour(moment: datetime) -> str:
    # With the offset: in autumn an hour comes twice.
    return f"the hour {moment:%Y-%m-%d %H:00 %z}"


def _day(moment: datetime) -> str:
    return f"the day {moment:%Y-%m-%d}"


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"the week {year}-W{week:02}"


def _month(moment: datetime) -> str:
    return f"the month {moment:%Y-%m}"


def _year(moment: datetime) -> str:
    return f"the year {moment:%Y}"


PERIODS: tuple[Callable[[datetime], str], ...] = (_hour, _day, _week, _month, _year)
"""Each names the period that a local time lies in; the shortest first."""
