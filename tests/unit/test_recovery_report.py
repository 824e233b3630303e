"""The report at the end of a recovery."""

from __future__ import annotations

from typing import Any

from deploys.steps.recovery_report import phase_of, report_lines, spoken

RESULT: dict[str, Any] = {
    "backup": "loomio_backup_20261123_010000",
    "rows": 7,
    "tables": 2,
    "files": 3,
    "age_seconds": 3700,
    "phases": {"choose": 1.2, "database": 62},
}
PHASES = {"packages": 12.0, "restore": 66.0, "start": 30.0, "other": 0.1}


def test_it_says_what_is_back_what_is_lost_and_what_took_how_long() -> None:
    assert report_lines("loomio", RESULT, PHASES, 125) == [
        "loomio is back, from loomio_backup_20261123_010000: 7 rows in 2 tables, 3 files.",
        "What was written in the last 1 h 1 min before the restore is not in it.",
        "How long it took:",
        "  packages      12 s",
        "  restore       1 min 6 s",
        "    choose      1 s",
        "    database    1 min 2 s",
        "  start         30 s",
        "  in all        2 min 5 s",
    ]


def test_what_was_passed_over_is_said_first_of_all_with_the_reason() -> None:
    passed = [{"backup": "loomio_backup_20261123_020000", "reason": "its dump is damaged."}]
    lines = report_lines("loomio", {**RESULT, "passed_over": passed}, PHASES, 125)
    assert lines[1] == (
        "NOT the newest: loomio_backup_20261123_020000 could not be restored. its dump is damaged."
    )


def test_what_the_agent_says_itself_is_printed_as_it_is() -> None:
    more = {"lost": "34 minutes of work are lost.", "stale": "It is old.", "compared": ["7 rows", "3 files"]}
    lines = report_lines("loomio", {**RESULT, **more, "about_version": ["3.5 runs."]}, PHASES, 125)
    assert lines[1:6] == [
        "34 minutes of work are lost.",
        "It is older than it should be: It is old.",
        "Compared: 7 rows",
        "Compared: 3 files",
        "3.5 runs.",
    ]


def test_a_restore_of_an_earlier_run_has_its_times_too() -> None:
    lines = report_lines("loomio", RESULT, {"start": 30.0}, 40)
    assert "    database    1 min 2 s" in lines


def test_every_operation_has_its_phase() -> None:
    assert phase_of("System | Install the packages of the system") == "packages"
    assert phase_of("Recovery | Restore the newest backup from Google Drive") == "restore"
    assert phase_of("Stack | Start every service") == "start"
    assert phase_of("Stack | Start db, redis") == "database up"
    assert phase_of("Fetch what that version needs") == "images"
    assert phase_of("Monitoring | anything") == "other"


def test_durations_are_spoken() -> None:
    assert [spoken(one) for one in (0.4, 61, 3700, 200000)] == [
        "0 s", "1 min 1 s", "1 h 1 min", "2 days 7 h",
    ]  # fmt: skip
