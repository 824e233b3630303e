"""deploys/restore.py, hermetic: what is asked of the agent, and what is refused before anything happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .scripted import COMMIT, Answer, ConvergedPi, Finished, ScriptedPi


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "the newest backup"),
        (["backup=loomio_backup_20261122_140000"], "loomio_backup_20261122_140000"),
        (["before=2026-11-22T14:30", "only=files"], "the files of the newest backup of before"),
        (["only=database", "streaming=yes"], "the database of the newest backup"),
    ],
)
def test_what_is_asked_for_is_said(tmp_path: Path, data: list[str], words: str) -> None:
    options = [word for one in data for word in ("--data", one)]
    done = ScriptedPi(tmp_path).deploy("restore", "--dry", "--json", *options)
    assert done.code == 0, done.output
    assert done.planned[0].startswith(f"Restore | Restore {words}")
    assert done.planned[1:] == [
        "Restore | Run the version that made the backup",
        "Stack | Start every service",
        "Stack | Wait until healthy: every service",
        "Restore | Look whether Loomio answers",
        "Recovery | Read the agent's report",
    ]


BACKUP = "loomio_backup_20261122_140000"
ENDED: Answer = (r"systemctl start --no-block", "It has ended: success")


def restored(**more: Any) -> Answer:
    """The agent's report of a finished restore of an older version's backup."""
    stack = {"commit": COMMIT, "images": {"app": "loomio/loomio:3.4", "redis": "redis:8"}}
    document = {"backup": BACKUP, "stack": stack, "left_for_version": True, **more}
    return (r"restore-result\.json", ["journal done", *json.dumps(document, indent=1).splitlines()])


def restore(folder: Path, *answers: Answer) -> Finished:
    pi = ConvergedPi(folder, answers=[*answers, ENDED])
    options = ("-y", "--data", "replace_live_data=yes", "--data", f"backup={BACKUP}")
    return pi.deploy("restore", *options, module="deploys.console.runner")


def test_the_version_that_made_the_backup_runs_then(tmp_path: Path) -> None:
    """The app was left stopped for it: the older one is put in place, and what runs from now on is said."""
    done = restore(tmp_path, restored())
    assert done.code == 0, done.output
    assert "Check out the stack as the backup knows it" in done.output
    said = f"{BACKUP} was made by loomio/loomio:3.4, and that is what runs"
    # When it is decided, and in the report.
    assert done.output.count(said) == 2
    assert "loomio-pi deploy update" in done.output


OPTIONS = f"--backup {BACKUP} --leave-other-version-stopped --replace-live-data"
UNSEEN = "it is not done again"


def asked_before(options: str = OPTIONS) -> Answer:
    return (r"cat /var/lib/loomio-pi-stack/restore-asked", f"0123abcd {options}")


def test_what_ended_while_the_connection_was_lost_is_not_done_again(tmp_path: Path) -> None:
    """Its second backup and second restore would leave undo nothing but what the first one brought."""
    started: Answer = (r"systemctl start --no-block", "It has ended: started again")
    done = restore(tmp_path, started, restored(wish="0123abcd"), asked_before())
    assert done.code == 0, done.output
    assert UNSEEN in done.output
    # The rest of it is done.
    assert "Check out the stack as the backup knows it" in done.output
    assert f"loomio is back, from {BACKUP}" in done.output


@pytest.mark.parametrize(
    ("options", "wish"),
    [(OPTIONS, "another"), (OPTIONS, None), (OPTIONS.replace(BACKUP, f"{BACKUP}_2"), "0123abcd")],
    ids=["not what was restored last", "restored by hand", "other words"],
)
def test_what_is_wanted_anew_is_done(tmp_path: Path, options: str, wish: str | None) -> None:
    done = restore(tmp_path, restored(wish=wish), asked_before(options))
    assert done.code == 0, done.output
    assert UNSEEN not in done.output
    assert "It has ended: success" in done.output


def test_of_the_same_version_nothing_is_changed(tmp_path: Path) -> None:
    done = restore(tmp_path, restored(left_for_version=False))
    assert done.code == 0, done.output
    assert "Check out the stack" not in done.output
    assert "that is what runs" not in done.output


def test_a_version_that_cannot_be_had_is_not_replaced_by_a_newer_one(tmp_path: Path) -> None:
    gone: Answer = (r"docker pull --quiet loomio/loomio:3\.4", {"success": False, "stderr": "unknown"})
    done = restore(tmp_path, gone, restored())
    assert done.code == 1
    assert "loomio/loomio:3.4, which made it, cannot be fetched (unknown)" in done.output
    assert "sudo loomio-backup undo" in done.output
    assert "Check out the stack" not in done.output
    assert "Stack | Start" not in done.output


DIGEST = "loomio/loomio@sha256:" + "5" * 64


def test_the_very_image_is_fetched_and_only_one_that_is_gone_is_replaced_by_its_tag(tmp_path: Path) -> None:
    stack = {"commit": COMMIT, "images": {"app": "loomio/loomio:3.4"}, "digests": {"app": [DIGEST]}}
    report = restored(stack=stack)
    by_tag: Answer = (r"docker pull --quiet loomio/loomio:3\.4", {"success": False, "stderr": "by its tag"})
    done = restore(tmp_path, by_tag, report)
    assert done.code == 0, done.output
    unreachable: Answer = (rf"docker pull --quiet {DIGEST}", {"success": False, "stderr": "i/o timeout"})
    done = restore(tmp_path, unreachable, report)
    assert (done.code, "cannot be fetched (i/o timeout)" in done.output) == (1, True)
    unknown = {"success": False, "stderr": f"manifest for {DIGEST} not found: manifest unknown"}
    gone: Answer = (rf"docker pull --quiet {DIGEST}", unknown)
    done = restore(tmp_path, gone, report)
    assert done.code == 0, done.output
    assert f"({DIGEST}) is gone; loomio/loomio:3.4 is used as it is now." in done.output


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (["backup=../../etc"], "is no backup's name"),
        (["backup=loomio_backup_20261122_140000;reboot"], "is no backup's name"),
        (["before=yesterday"], "is no time"),
        (["only=everything"], "Say database or files"),
        (["streaming=maybe"], "is not understood"),
        (["replace_live_data=sure"], "is not understood"),
        (["backup=loomio_backup_20261122_140000", "before=2026-11-22"], "cannot both be given"),
    ],
)
def test_what_is_not_understood_is_refused_before_the_pi_is_asked(
    tmp_path: Path, data: list[str], word: str
) -> None:
    options = [text for one in data for text in ("--data", one)]
    done = ScriptedPi(tmp_path).deploy("restore", "--dry", *options)
    assert done.code != 0
    assert word in done.output.replace("\n", " ")
