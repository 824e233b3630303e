"""Cron expressions by the thousand: do the timers that we write elapse when a cron library says?

The answers come from systemd itself (`systemd-analyze calendar`), in the image of the simulated Pi.
"""

from __future__ import annotations

import random
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from deploys.steps import cron

#: With clocks that change by an hour, by half an hour, at midnight, backwards in winter; and with none.
ZONES = (
    *("Etc/UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/Santiago"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Auckland", "Asia/Kolkata", "Asia/Kathmandu"),
)
ITERATIONS = 12
NOTE = (
    "Generated expressions in ten time zones, twelve firings of each, asked of systemd itself on both "
    "releases. Left out: windows in which a zone's clocks change by half an hour, where the cron "
    "library loses its way."
)
_BASES = 40
_BATCH = 200
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Case:
    """An expression in a time zone, looked at from a moment on."""

    expression: str
    zone: str
    base: datetime


@dataclass
class Outcome:
    """How many were compared, and how."""

    expressions: int = 0
    firings: int = 0
    two_lines: int = 0
    across_a_change: int = 0
    written_in_utc: int = 0
    firings_that_only_cron_has: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Change:
    """A change of the clocks at `at`, forward by `by` (backward where negative)."""

    at: datetime
    by: timedelta


def run(image: str, count: int, seed: int = 1) -> Outcome:
    """Compare `count` generated expressions; AssertionError names the first that differs."""
    outcome = Outcome()
    by_base: dict[datetime, list[Case]] = defaultdict(list)
    for case in islice(generated(random.Random(seed)), count):
        by_base[case.base].append(case)
    for base, cases in by_base.items():
        for first in range(0, len(cases), _BATCH):
            batch = cases[first : first + _BATCH]
            lines = [line for case in batch for line in cron.on_calendar(case.expression, case.zone)]
            answers = iter(elapses(image, base, lines))
            for case in batch:
                written = cron.on_calendar(case.expression, case.zone)
                compare(case, written, [next(answers) for _ in written], outcome)
    return outcome


def compare(
    case: Case, written: Sequence[str], answers: Sequence[Sequence[datetime]], outcome: Outcome
) -> None:
    """Hold what systemd says against the cron library, as far as both were asked."""
    expected = [
        moment.astimezone(UTC)
        for moment in islice(CronSim(case.expression, case.base.astimezone(ZoneInfo(case.zone))), ITERATIONS)
    ]
    found = sorted({moment for answer in answers for moment in answer})
    # Beyond the shorter answer nobody was asked.
    ends = [answer[-1] for answer in answers if len(answer) == ITERATIONS]
    horizon = min([expected[-1], *ends]) if expected else case.base
    expected = [moment for moment in expected if moment <= horizon]
    found = [moment for moment in found if moment <= horizon]
    changes = list(changes_between(case.zone, case.base, horizon))
    if any(change.by % timedelta(hours=1) for change in changes):
        # Where clocks change by half an hour it is the library that loses its way: it walks in whole hours.
        outcome.left_out += 1
        return
    outcome.expressions += 1
    outcome.firings += len(expected)
    outcome.two_lines += len(written) == 2
    outcome.across_a_change += bool(changes)
    if written[0].endswith(" UTC"):
        outcome.written_in_utc += case.zone != "Etc/UTC"
        changes = []
    only_cron = [moment for moment in expected if moment not in found]
    assert [moment for moment in found if moment not in expected] == [], (case, written, expected, found)
    for moment in only_cron:
        assert any(explained(moment, change) for change in changes), (case, written, expected, found)
    outcome.firings_that_only_cron_has += len(only_cron)


def explained(moment: datetime, change: Change) -> bool:
    """Whether cron alone may fire then: right after skipped time, or in the second of two equal hours."""
    if change.by > timedelta(0):
        return change.at <= moment < change.at + _MINUTE
    return change.at <= moment < change.at - change.by


def changes_between(zone: str, start: datetime, end: datetime) -> Iterator[Change]:
    """The changes of a zone's clocks (all of them are on a quarter of an hour)."""
    place = ZoneInfo(zone)
    day = timedelta(days=1)
    moment = start
    while moment <= end:
        if moment.astimezone(place).utcoffset() != (moment + day).astimezone(place).utcoffset():
            step = timedelta(minutes=15)
            probe = moment.replace(minute=moment.minute // 15 * 15, second=0)
            while probe <= moment + day:
                before, after = (
                    probe.astimezone(place).utcoffset(),
                    (probe + step).astimezone(place).utcoffset(),
                )
                assert before is not None
                assert after is not None
                if before != after:
                    yield Change(probe + step, after - before)
                probe += step
        moment += day


def elapses(image: str, base: datetime, lines: Sequence[str]) -> list[list[datetime]]:
    """The next ITERATIONS moments of each calendar event after `base`, from the systemd of an image."""
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "-e", "TZ=UTC", "-e", "LC_ALL=C", image),
            *("systemd-analyze", "calendar", f"--iterations={ITERATIONS}"),
            *(f"--base-time=@{base.timestamp():.0f}", *lines),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    answers = []
    for block in done.stdout.strip().split("\n\n"):
        moments = []
        for row in block.splitlines():
            key, _, value = row.strip().partition(": ")
            # "Next elapse: Tue 2026-11-24 00:00:00 UTC", "Iter. #2: …" (252) or "Iteration #2: …" (257).
            if (key == "Next elapse" and value.strip() != "never") or key.startswith("Iter"):
                moment = datetime.strptime(value.strip()[4:], "%Y-%m-%d %H:%M:%S UTC")
                moments.append(moment.replace(tzinfo=UTC))
        answers.append(moments)
    assert len(answers) == len(lines), (len(answers), len(lines), done.stderr)
    return answers


def generated(chance: random.Random) -> Iterator[Case]:
    """Expressions of every shape that cron knows and a timer can follow, without end."""
    bases = [_base(chance) for _ in range(_BASES)]
    while True:
        expression = " ".join(
            (
                _field(chance, 0, 59, dense=0.2),
                _field(chance, 0, 23, dense=0.5),
                _field(chance, 1, 31, dense=0.6),
                _field(chance, 1, 12, cron.MONTHS, dense=0.6),
                _field(chance, 0, 7, cron.WEEKDAYS, dense=0.6),
            )
        )
        case = Case(expression, chance.choice(ZONES), chance.choice(bases))
        try:
            next(CronSim(expression, case.base))
        except (CronSimError, StopIteration):
            # The 30th of February, and the like.
            continue
        yield case


def _base(chance: random.Random) -> datetime:
    """A moment of some years; every other one shortly before a change of clocks."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(4 * 365 * 86400))
    if chance.random() < 0.5:
        zone = chance.choice([zone for zone in ZONES if zone.startswith(("Europe", "America", "Australia"))])
        change = next(changes_between(zone, moment, moment + timedelta(days=370)))
        moment = change.at - timedelta(seconds=chance.randrange(6 * 3600))
    return moment


def _field(chance: random.Random, low: int, high: int, names: Sequence[str] = (), *, dense: float) -> str:
    if chance.random() < dense:
        return "*"
    parts = [_part(chance, low, high, names) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    return ",".join(parts)


def _part(chance: random.Random, low: int, high: int, names: Sequence[str]) -> str:
    first, last = sorted((chance.randint(low, high), chance.randint(low, high)))
    step = chance.randint(1, max(1, (high - low) // 2))
    shape = chance.choice(("value", "value", "range", "range/step", "*/step", "value/step"))
    # The library takes 5-5/2 for 5/2, cron for 5: nobody writes that.
    if shape == "value" or (shape == "range/step" and first == last):
        return _value(chance, first, low, names)
    if shape == "*/step":
        return f"*/{step}"
    if shape == "value/step":
        return f"{first}/{step}"
    text = f"{_value(chance, first, low, names)}-{_value(chance, last, low, names)}"
    # Sunday is 7 at the end of a range, and 0 by its name.
    if names and last - low >= len(names):
        text = f"{first}-{last}"
    return f"{text}/{step}" if shape == "range/step" else text


def _value(chance: random.Random, number: int, low: int, names: Sequence[str]) -> str:
    if names and number - low < len(names) and chance.random() < 0.4:
        name = names[number - low]
        return chance.choice((name, name.upper(), name.capitalize()))
    return chance.choice((str(number), f"{number:02d}")) if number < 10 else str(number)
