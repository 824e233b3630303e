"""Cron expressions, which people know, as the calendar events that systemd's timers know.

The conversion is exact: every field is expanded to the values it names, so nothing depends on how cron and
systemd spell steps. What has no exact counterpart is an error, never an approximation.

One thing has none: the two nights in a year in which clocks change. A time that the clock skips does not come
for systemd, while cron makes up for it right after; of a time that comes twice systemd takes the first, while
cron takes both where minute or hour starts with a star. Schedules that are the same in every hour of every
day are written in UTC, where there are no such nights, and stay exact. Away from those hours the two are
equal: tests/faults/schedule_series.py compares them with systemd itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: systemd's names, in the order of cron's numbers (0 and 7 are Sunday).
CALENDAR_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


class CronError(ValueError):
    """An expression that is no cron expression, or that a systemd timer cannot follow exactly."""


@dataclass(frozen=True)
class _Field:
    label: str
    low: int
    high: int
    names: Sequence[str] = ()
    first_name: int = 0

    def values(self, text: str) -> frozenset[int]:
        """All values that `text` (a list of values, ranges and steps) stands for."""
        found: set[int] = set()
        for part in text.split(","):
            found.update(self._part(part, text))
        return frozenset(found)

    def _part(self, part: str, text: str) -> range:
        span, slash, step_text = part.partition("/")
        step = 1
        if slash:
            if not step_text.isdecimal() or int(step_text) == 0:
                raise CronError(f"{self.label} {text!r}: a step is a whole number from 1 on")
            step = int(step_text)
        first, dash, last = span.partition("-")
        if span == "*":
            return range(self.low, self.high + 1, step)
        start = self._number(first, text)
        if dash:
            end = self._number(last, text)
        else:
            # As cron does it: "10/5" means from 10 to the end.
            end = self.high if slash else start
        if end < start:
            raise CronError(f"{self.label} {text!r}: the range {span} runs backwards")
        return range(start, end + 1, step)

    def _number(self, word: str, text: str) -> int:
        if word.lower() in self.names:
            return self.names.index(word.lower()) + self.first_name
        if not word.isdecimal():
            raise CronError(f"{self.label} {text!r}: {word!r} is not understood")
        number = int(word)
        if not self.low <= number <= self.high:
            raise CronError(f"{self.label} {text!r}: {number} is not between {self.low} and {self.high}")
        return number


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of the month", 1, 31)
_MONTH = _Field("month", 1, 12, MONTHS, 1)
_WEEKDAY = _Field("day of the week", 0, 7, WEEKDAYS)


def on_calendar(expression: str, timezone: str) -> tuple[str, ...]:
    """The `OnCalendar=` lines (one, or two) of a timer that elapses exactly when the cron expression does.

    `expression` has five fields (minute, hour, day of the month, month, day of the week); `timezone` is an
    IANA name. As in cron, days of the month *or* days of the week match when neither field starts with `*`:
    that takes two lines. Raises CronError, one sentence.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise CronError(
            f"{expression!r}: five fields are expected (minute hour day month weekday), not {len(fields)}"
        )
    minutes = _values(_MINUTE.values(fields[0]), _MINUTE)
    hours = _values(_HOUR.values(fields[1]), _HOUR)
    months = _values(_MONTH.values(fields[3]), _MONTH)
    days = _values(_DAY.values(fields[2]), _DAY)
    weekdays = _weekdays(_WEEKDAY.values(fields[4]))

    every_hour = (hours, days, months, weekdays) == ("*", "*", "*", "")
    zone = "UTC" if every_hour and _differs_by_whole_hours(timezone) else _zone(timezone)

    def line(weekday: str, day: str) -> str:
        return f"{weekday}*-{months}-{day} {hours}:{minutes}:00 {zone}"

    if fields[2].startswith("*") or fields[4].startswith("*"):
        return (line(weekdays, days),)
    return (line("", days), line(weekdays, "*"))


def _values(values: frozenset[int], field: _Field) -> str:
    if len(values) == field.high - field.low + 1:
        return "*"
    return ",".join(f"{value:02d}" for value in sorted(values))


def _weekdays(numbers: frozenset[int]) -> str:
    found = sorted({number % 7 for number in numbers})
    if len(found) == len(WEEKDAYS):
        return ""
    return ",".join(CALENDAR_WEEKDAYS[number] for number in found) + " "


def _zone(timezone: str) -> str:
    # systemd knows UTC by itself; every other name needs the zone files, which a minimal system may lack.
    return "UTC" if timezone in ("Etc/UTC", "UTC", "Etc/Universal", "Etc/Zulu") else timezone


def _differs_by_whole_hours(timezone: str) -> bool:
    """Whether the minute is the same there as in UTC, summer and winter, for as long as a Pi may last."""
    zone = ZoneInfo(timezone)
    moments = (datetime(year, month, 1, tzinfo=UTC) for year in range(2025, 2038) for month in range(1, 13))
    offsets = {moment.astimezone(zone).utcoffset() for moment in moments}
    return all(offset is not None and not offset % timedelta(hours=1) for offset in offsets)
