"""deploys/update.py and what a setup leaves to it, hermetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .scripted import Answer, ConvergedPi, ScriptedPi

PLACED = [
    "there",
    "brought up",
    "LOOMIO_IMAGE=loomio/loomio:3.5",
    "POSTGRES_IMAGE=postgres:17",
    "REDIS_IMAGE=redis:8",
]
ON_THE_PI: Answer = (r"_IMAGE=", PLACED)
NEWER = {"stack": {"images": {"loomio": "loomio/loomio:3.6"}}}
SAID = "The settings name other images than those that run: loomio/loomio:3.6 (stack.images.loomio)"
UPDATE = "Update | Update to loomio/loomio:3.6 (stack.images.loomio) in place of loomio/loomio:3.5"


def pi(folder: Path, *answers: Answer) -> ConvergedPi:
    return ConvergedPi(folder, settings=NEWER, answers=[*answers, ON_THE_PI])


def test_a_setup_updates_nothing_and_says_how(tmp_path: Path) -> None:
    done = pi(tmp_path).deploy("setup", "--dry", "--diff", "--debug-facts")
    assert done.code == 0, done.output
    assert SAID in done.output
    assert "To update, type: loomio-pi deploy update" in done.output


def test_what_it_places_is_what_runs(tmp_path: Path) -> None:
    done = pi(tmp_path).deploy("setup", "--dry", "--json")
    assert done.planned == [], "something would be changed"


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        ([(r"docker volume inspect", "none")], True),
        ([(r"docker volume inspect", "unknown the database does not run")], False),
        (
            [
                (r"docker volume inspect", "unknown the database does not run"),
                (r"_IMAGE=", PLACED[:1] + PLACED[2:]),
            ],
            True,
        ),
    ],
)
def test_where_no_data_is_the_settings_count(tmp_path: Path, answers: list[Answer], counts: bool) -> None:
    done = pi(tmp_path, *answers).deploy("setup", "--dry")
    assert done.code == 0, done.output
    assert (SAID not in done.output) is counts


def test_an_update_is_one_step_and_then_what_belongs_to_it(tmp_path: Path) -> None:
    done = pi(tmp_path).deploy("update")
    assert done.code == 0, done.output
    assert done.planned == [UPDATE, "Update | Read the agent's report of the update"]


REPORT = {
    "outcome": "went back", "problem": "the app did not become healthy.", "changes": ["loomio 3.5 to 3.6"],
    "started": "2026-11-23T12:00:00+00:00", "finished": "2026-11-23T12:09:00+00:00", "rehearsal": "passed",
    "phases": {"back": 60.0}, "backup": "loomio_backup_20261123_120000", "down_seconds": 300.0,
    "old_cluster": None,
}  # fmt: skip


@pytest.mark.parametrize("led_back", [True, False], ids=["led back", "failed before it began"])
def test_an_update_that_fails_is_reported_too(tmp_path: Path, led_back: bool) -> None:
    """No later operation is run then. The report of the update before it is not taken for its own."""
    earlier, later = json.dumps({**REPORT, "outcome": "updated"}), json.dumps(REPORT)
    done = pi(
        tmp_path,
        (r"cat .*update-result\.json", {"in_turn": [earlier, later if led_back else earlier]}),
        (r"systemctl start --no-block", "It has ended: exit-code"),
    ).deploy("update", "-y", module="deploys.console.runner")
    assert done.code == 1
    assert "An update failed (exit-code)" in done.output
    assert ("loomio went back: loomio 3.5 to 3.6." in done.output) is led_back
    assert ("why: the app did not become healthy." in done.output) is led_back
    assert "loomio is updated" not in done.output


def test_where_the_settings_name_what_runs_there_is_none(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path, answers=[ON_THE_PI]).deploy("update")
    assert (done.code, done.planned) == (0, []), done.output


def test_a_pi_that_was_never_set_up_is_sent_to_setup(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path, settings=NEWER).deploy("update", "--dry")
    assert done.code != 0
    assert "is not set up yet, so there is nothing to update" in done.output


def test_a_word_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    done = pi(tmp_path).deploy("update", "--dry", "--data", "rehearse=perhaps")
    assert done.code != 0
    assert "rehearse='perhaps' is not understood. Nothing was changed." in done.output


def test_nothing_meddles_with_an_update_under_way(tmp_path: Path) -> None:
    path = "/var/lib/loomio-backup/update-unsettled"
    there = f"user=root group=root mode=-rw------- atime=1 mtime=1 ctime=1 size=0 '{path}'"
    marker: Answer = (r"stat -c .*update-unsettled", there)
    for name in ("setup", "verify"):
        done = pi(tmp_path, marker).deploy(name, "--dry")
        assert "an update is running on this Pi" in done.output
        assert done.planned == []
