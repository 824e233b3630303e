"""When a store will be full: pure, a straight line through what was used day by day, and honest about not
knowing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from loomio_backup.progress import bytes_text

_LEAST_DAYS = 3
"""Figures of fewer days say nothing: the first backup alone would look like a catastrophe."""
_WINDOW = timedelta(days=30)
_FAR = timedelta(days=3650)


@dataclass(frozen=True)
class Used:
    """How full a store was on a day; bytes. `total` is None where there is no limit that we know."""

    day: date
    used: int
    total: int | None


@dataclass(frozen=True)
class Forecast:
    """`full_on` is None when it will not be full in ten years, or when nobody knows; `text` says which."""

    full_on: date | None
    text: str


def forecast(rows: Sequence[Used], place: str) -> Forecast:
    """When `place` ("Drive", "the disk of …") will be full, by its figures of the last 30 days."""
    if not rows:
        return Forecast(None, f"When {place} will be full is not known: nobody has looked yet.")
    last = max(rows, key=lambda row: row.day)
    if last.total is None:
        return Forecast(None, f"{place} tells no limit, so when it is full is not known.")
    recent = [row for row in rows if last.day - row.day <= _WINDOW]
    days = (last.day - min(row.day for row in recent)).days
    if days < _LEAST_DAYS:
        since = min(row.day for row in recent)
        return Forecast(
            None, f"When {place} will be full is not known yet: there are figures since {since} only."
        )
    growth = _slope(recent)
    left = max(0, last.total - last.used)
    if growth <= 0 or left / growth > _FAR.days:
        return Forecast(None, f"{place} is not filling up (by the last {days} days).")
    full_on = last.day + timedelta(days=int(left / growth))
    pace = bytes_text(round(growth))
    return Forecast(full_on, f"{place} will be full on {full_on}, at {pace} a day (by the last {days} days).")


def _slope(rows: Sequence[Used]) -> float:
    """Bytes a day, by least squares: one odd day does not decide."""
    first = min(row.day for row in rows)
    days = [(row.day - first).days for row in rows]
    mean_day = sum(days) / len(rows)
    mean_used = sum(row.used for row in rows) / len(rows)
    spread = sum((day - mean_day) ** 2 for day in days)
    return (
        sum((day - mean_day) * (row.used - mean_used) for day, row in zip(days, rows, strict=True)) / spread
    )
