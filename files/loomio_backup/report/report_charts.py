"""The report's charts as geometry: pure. A chart is a drawing and a sentence that says the same.

Every chart is 100 units wide and high and is stretched to where it stands; what it says in words stands
around it as text, so that it can be read on a phone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from loomio_backup.retention.forecast import Used

_GAP = 0.25
"""Share of a bar's place that is left free."""
_LEAST = 1.0
"""The smallest bar is still seen."""


@dataclass(frozen=True)
class Bar:
    """A bar. `look`: ordinary, or one that stands out."""

    x: float
    y: float
    width: float
    height: float
    look: Literal["usual", "bad"]


@dataclass(frozen=True)
class Chart:
    """key: its id in the page. title and text: what it shows, in words. top: what the upper edge means;
    begin, end: what the left and the right edge mean. line, ahead: points "x,y x,y" of what was and of what
    is to be expected.
    """

    key: str
    title: str
    text: str
    top: str
    begin: str
    end: str
    bars: tuple[Bar, ...] = ()
    line: str = ""
    ahead: str = ""


def bars(values: Sequence[float], bad: Sequence[bool] | None = None) -> tuple[Bar, ...]:
    """One bar for each value, from 0 to the largest."""
    most = max(values, default=0.0) or 1.0
    place = 100 / max(1, len(values))
    found = []
    for number, value in enumerate(values):
        height = max(_LEAST, 100 * value / most)
        look: Literal["usual", "bad"] = "bad" if bad is not None and bad[number] else "usual"
        left = place * (number + _GAP / 2)
        found.append(
            Bar(round(left, 2), round(100 - height, 2), round(place * (1 - _GAP), 2), round(height, 2), look)
        )
    return tuple(found)


@dataclass(frozen=True)
class Course:
    """How full a store was and may become: points, and the day and the bytes of the right and upper edges."""

    line: str
    ahead: str
    last_day: date
    top: int


def course(used: Sequence[Used], full_on: date | None) -> Course:
    """The line through what was used day by day, up to the day on which it is full. At least one row."""
    rows = sorted(used, key=lambda row: row.day)
    first, last = rows[0], rows[-1]
    last_day = max(last.day, full_on) if full_on is not None else last.day
    days = max(1, (last_day - first.day).days)
    top = max([row.total or 0 for row in rows[-1:]] + [row.used for row in rows] + [1])

    def point(day: date, value: int) -> str:
        return f"{100 * (day - first.day).days / days:.2f},{100 - 100 * value / top:.2f}"

    line = [point(row.day, row.used) for row in rows]
    if len(rows) == 1:
        line.insert(0, f"0.00,{100 - 100 * last.used / top:.2f}")
        line[-1] = f"100.00,{100 - 100 * last.used / top:.2f}"
    ahead = [point(last.day, last.used), point(full_on, last.total or top)] if full_on is not None else []
    return Course(" ".join(line), " ".join(ahead), last_day, top)
