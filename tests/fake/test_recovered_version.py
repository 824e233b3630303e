"""disaster_recovery.py, really run against a scripted new Pi: what it decides when the agent has answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .scripted import COMMIT, Answer, Finished, ScriptedPi

RUNNER = "deploys.console.runner"
BACKUP = "loomio_backup_20261123_020000"


def answer(**more: Any) -> Answer:
    """What the agent says about the newest backup."""
    image = {"id": "sha256:" + "1" * 64, "digests": ["loomio/loomio@sha256:" + "5" * 64]}
    document = {
        "backup": BACKUP,
        "stores": ["local"],
        "stale": None,
        "passed_over": [],
        "stack": {
            "commit": COMMIT,
            "images": {"app": {"reference": "loomio/loomio:3.4", **image}},
        },
        "postgresql_version": "17.6",
        "server_version_num": 170006,
        **more,
    }
    return (r"loomio-backup candidate", json.dumps(document))


def recover(folder: Path, *answers: Answer) -> Finished:
    """As far as the comparison of PostgreSQL's versions, where the scripted image is too old."""
    older: Answer = (r"--entrypoint postgres", "postgres (PostgreSQL) 16.10")
    pi = ScriptedPi(folder, answers=[*answers, older])
    return pi.deploy("disaster_recovery", "-y", module=RUNNER)


def test_an_older_postgresql_stops_before_it_has_made_files(tmp_path: Path) -> None:
    done = recover(tmp_path, answer())
    assert done.code == 1
    assert f"{BACKUP} was made by PostgreSQL 17.6, and postgres:17 (stack.images.postgres)" in done.output
    assert "Nothing was started or restored; the backups are untouched." in done.output
    assert "Stack | Start db" not in done.output
    assert "Traceback" not in done.output
    # What would run was said before anything was fetched.
    output = done.output
    said = "The settings name loomio/loomio:3.5 (stack.images.loomio), v1.2.3 (stack.ref); "
    assert f"{said}{BACKUP} was made by loomio/loomio:3.4, commit {COMMIT[:12]}" in output
    assert output.index(said) < output.index("Stack | Fetch the images")


def test_what_is_passed_over_old_or_gone_is_said_before_the_restore(tmp_path: Path) -> None:
    passed = [{"backup": "loomio_backup_20261123_030000", "reason": "its dump is missing in local."}]
    gone: Answer = (r"docker pull --quiet loomio/loomio@", {"success": False, "stderr": "manifest unknown"})
    output = recover(tmp_path, answer(passed_over=passed, stale="It is 3 days old."), gone).output
    assert (
        "The backup loomio_backup_20261123_030000 is newer, but cannot be restored: its dump is missing"
        in output
    )
    assert f"What will be restored is {BACKUP}, from local." in output
    assert "Mind its age: It is 3 days old." in output
    assert "cannot be had any more (manifest unknown); loomio/loomio:3.4 is used as it is now." in output


def test_without_an_answer_the_restore_has_the_last_word(tmp_path: Path) -> None:
    sentence = "loomio-backup: there is no backup to come back from. Nothing was changed."
    end: Answer = (r"up --no-start", {"success": False, "stderr": "as far as this test goes"})
    none: Answer = (r"loomio-backup candidate", {"success": False, "stderr": sentence})
    output = recover(tmp_path, none, end).output
    assert "] there is no backup to come back from. Nothing was changed." in output
    assert "Stack | Start db" in output
    assert "which is older and cannot read it" not in output
