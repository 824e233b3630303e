"""The recovery report without a browser: where it goes, what it says of little, and the geometry of its
charts. How it looks is in tests/lab/test_report.py.
"""

from __future__ import annotations

import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup.command import cli
from loomio_backup.report.report_charts import bars, course
from loomio_backup.report.report_data import Gap, gaps
from loomio_backup.retention.forecast import Used
from tests.lab.drive import DriveEmulator

from .agent_backups import Shelf, shelf

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


@pytest.fixture
def pi(tmp_path: Path) -> Shelf:
    return shelf(tmp_path)


def _report(pi: Shelf, *arguments: str) -> int:
    return cli.main(["--config", str(pi.root / "config.yml"), "report", *arguments])


def test_it_lies_in_the_state_directory_for_root_only(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    pi.backup()
    for _ in range(2):
        assert _report(pi) == 0
        path = pi.root / "state" / "report.html"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert pi.made[0].name in path.read_text()
        assert str(path) in capsys.readouterr().out


def test_only_the_page_goes_to_standard_output(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    pi.backup()
    assert _report(pi, "--output", "-") == 0
    said = capsys.readouterr()
    assert said.out.startswith("<!doctype html>")
    assert said.out.rstrip().endswith("</html>")
    assert said.err == ""
    assert not (pi.root / "state" / "report.html").exists()


def test_no_other_file_is_written_over(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    path = pi.root / "settings.yml"
    path.write_text("hosts:\n")
    assert _report(pi, "--output", str(path)) == 1
    assert "It was left as it is" in capsys.readouterr().err
    assert path.read_text() == "hosts:\n"
    assert _report(pi, "--output", str(pi.root)) == 1
    assert "cannot be the report" in capsys.readouterr().err


def test_without_any_backup_it_says_so(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert _report(pi, "--output", "-") == 0
    page = capsys.readouterr().out
    assert "If this Pi dies now, its backups die with it" in page
    assert "There is no backup yet" in page
    assert "nothing shows that the backups come back" in page


def test_a_store_that_does_not_answer_is_told_and_the_rest_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        pi = shelf(tmp_path, emulator)
        pi.backup()
        assert cli.main(["--config", str(pi.root / "config.yml"), "list"]) == 0
    secret = pi.config.credentials_directory / "drive.json"
    secret.write_text("{}")
    capsys.readouterr()
    assert _report(pi, "--output", "-") == 0
    page = capsys.readouterr().out
    assert "Sizes of the backups in the local store" in page
    assert "Sizes of the backups in Google Drive" not in page
    problem = page.partition("What Google Drive keeps, and why</h2>")[2].partition("</section>")[0]
    assert "the Drive credentials are of type None" in problem
    assert "open problem" in page


def test_a_gap_is_where_a_backup_was_due_and_none_was_made(pi: Shelf) -> None:
    """Hourly backups; one that comes within the hour of grace is no gap."""
    made = [NOW - timedelta(hours=hours) for hours in (9, 8, 4, 2.5, 1)]
    assert gaps(pi.config, made, NOW) == [Gap(made[1], made[2])]
    assert gaps(pi.config, made[:-1], NOW) == [Gap(made[1], made[2]), Gap(made[3], None)]
    assert gaps(pi.config, [], NOW) == []


def test_bars_reach_from_nothing_to_the_largest() -> None:
    assert bars([]) == ()
    low, high = bars([0, 10], [True, False])
    assert (high.y, high.height, high.look) == (0, 100, "usual")
    assert (low.height, low.look) == (1, "bad")
    assert 0 <= low.x < low.x + low.width <= high.x < high.x + high.width <= 100
    assert all(bar.height == 1 for bar in bars([0, 0]))


def test_the_course_reaches_to_the_day_on_which_it_is_full() -> None:
    first = date(2026, 11, 1)
    used = [Used(first + timedelta(days=day), 10 * day, 400) for day in range(11)]
    drawn = course(used, first + timedelta(days=40))
    assert drawn.last_day == first + timedelta(days=40)
    assert drawn.line.startswith("0.00,100.00 ")
    assert drawn.line.endswith(" 25.00,75.00")
    assert drawn.ahead == "25.00,75.00 100.00,0.00"
    alone = course(used[:1], None)
    assert (alone.line, alone.ahead) == ("0.00,100.00 100.00,100.00", "")
    unlimited = course([Used(first, 7, None), Used(first + timedelta(days=1), 8, None)], None)
    assert unlimited.top == 8
