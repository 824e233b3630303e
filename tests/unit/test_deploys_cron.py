"""Cron expressions become systemd calendar events that elapse at exactly the same moments."""

import shutil
import subprocess
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from deploys.steps.cron import CronError, on_calendar

EXPRESSIONS = [
    "0 * * * *",
    "0 */6 * * *",
    "*/15 * * * *",
    "7,37 3-5 * * *",
    "0 2 * * sun",
    "0 2 * * 0",
    "0 2 * * 7",
    "30 4 * * mon-fri",
    "30 4 * * MON,wed,5",
    "0 0 1 * *",
    "0 0 31 * *",
    "0 12 29 2 *",
    "15 3 1-7 */3 *",
    "0 0 */2 * *",
    "0 0 */2 * mon",
    "5 0 1,15 * fri",
    "0 0 13 JAN,jul fri",
    "10-50/20 1/8 * * *",
    "59 23 * 12 *",
    "0 0 * * */2",
]
STARTS = [datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC), datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC)]


def test_reads_like_this() -> None:
    assert on_calendar("0 */6 * * *", "Etc/UTC") == ("*-*-* 00,06,12,18:00:00 UTC",)
    assert on_calendar("30 4 * * mon-wed", "Europe/Berlin") == ("Mon,Tue,Wed *-*-* 04:30:00 Europe/Berlin",)


def test_day_of_month_or_day_of_week_takes_two_lines() -> None:
    assert on_calendar("0 5 1 * sun", "Etc/UTC") == ("*-*-01 05:00:00 UTC", "Sun *-*-* 05:00:00 UTC")


def test_a_star_with_a_step_means_and_as_in_debians_cron() -> None:
    assert len(on_calendar("0 5 */2 * sun", "Etc/UTC")) == 1


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("start", STARTS, ids=str)
@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("zone", ["Etc/UTC", "Asia/Kolkata"])
def test_elapses_when_cron_does(expression: str, zone: str, start: datetime) -> None:
    expected = list(islice(CronSim(expression, start.astimezone(ZoneInfo(zone))), 12))
    elapses: set[datetime] = set()
    for line in on_calendar(expression, zone):
        elapses.update(_elapses(line, start, 12))
    assert sorted(elapses)[:12] == [moment.astimezone(UTC) for moment in expected]


def _elapses(line: str, start: datetime, count: int) -> list[datetime]:
    """The next moments of a calendar event, from systemd itself."""
    done = subprocess.run(
        [
            "systemd-analyze",
            "calendar",
            f"--iterations={count}",
            f"--base-time=@{start.timestamp():.0f}",
            line,
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    moments = []
    for row in done.stdout.splitlines():
        key, _, value = row.strip().partition(": ")
        # "Next elapse: Tue 2026-11-24 00:00:00 UTC" and "Iter. #2: …", in the time zone of the process.
        if key == "Next elapse" or key.startswith("Iter"):
            moments.append(datetime.strptime(value.strip()[4:], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC))
    return moments


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("0 0 L * *", "'L'"),
        ("0 0 * * 5L", "'5L'"),
        ("0 0 * * mon#2", "'mon#2'"),
        ("@daily", "five fields"),
        ("* * * * * *", "five fields"),
        ("60 * * * *", "60"),
        ("* 24 * * *", "24"),
        ("* * 0 * *", "0"),
        ("* * * 13 *", "13"),
        ("* * * * 8", "8"),
        ("*/0 * * * *", "step"),
        ("5-1 * * * *", "backwards"),
        ("1,,2 * * * *", "not understood"),
        ("", "five fields"),
    ],
)
def test_what_cannot_be_exact_is_an_error(expression: str, word: str) -> None:
    with pytest.raises(CronError, match=word.replace("#", "\\#")) as caught:
        on_calendar(expression, "Etc/UTC")
    assert "\n" not in str(caught.value)
