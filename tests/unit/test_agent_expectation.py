"""`check --expect-newer-than`: where no catalogue knows what has been there, a person's memory counts."""

from __future__ import annotations

import argparse
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup import moment
from loomio_backup.command import cli
from loomio_backup.restore import expectation

from .agent_backups import Shelf, shelf

SNAPSHOT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "timezone", "short"),
    [
        ("2026-11-23", "Etc/UTC", False),
        ("2026-11-24", "Etc/UTC", True),
        ("2026-11-23T11:59:59", "Etc/UTC", False),
        ("2026-11-23T12:00", "Etc/UTC", True),
        ("2026-11-23T12:00:01Z", "Etc/UTC", True),
        ("2026-11-23 12:59", "Europe/Berlin", False),
        ("2026-11-23 13:00", "Europe/Berlin", True),
        ("2026-11-23T12:01+00:00", "Europe/Berlin", True),
    ],
)
def test_times_are_those_of_the_pi_unless_they_say_otherwise(typed: str, timezone: str, short: bool) -> None:
    said = expectation.shortened("NAME", SNAPSHOT, moment.typed(typed), timezone)
    assert (said is not None) == short
    assert said is None or "NAME, is of 2026-11-23 12:00:00 UTC" in said


def test_without_an_expectation_nothing_is_expected() -> None:
    assert expectation.shortened("NAME", SNAPSHOT, None, "Etc/UTC") is None


@pytest.mark.parametrize("typed", ["yesterday", "", "23.11.2026", "12:00"])
def test_other_words_are_no_time(typed: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time such as"):
        moment.typed(typed)


@pytest.fixture
def pi(tmp_path: Path) -> Shelf:
    made = shelf(tmp_path)
    for _ in range(3):
        made.backup()
    return made


def _check(pi: Shelf, *arguments: str) -> int:
    return cli.main(["--config", str(pi.root / "config.yml"), "check", *arguments])


def test_a_machine_without_a_catalogue_notices_what_is_gone(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = f"{pi.made[-1].snapshot_at - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}"
    assert _check(pi, "--expect-newer-than", expected) == 0
    (pi.disk / pi.made[-1].manifest_name).unlink()
    shutil.rmtree(pi.root / "state")
    assert _check(pi) == 0
    assert _check(pi, "--expect-newer-than", expected) == 1
    said = capsys.readouterr().err
    assert f"the newest backup, {pi.made[-2].name}, is of" in said
    assert "newer ones may have been removed" in said
    assert said.count("\n") == 1
