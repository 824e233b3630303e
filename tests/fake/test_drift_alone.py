"""`loomio-pi drift`: the first part of verify by itself, with the same exit codes."""

import json
from dataclasses import replace
from pathlib import Path

from .scripted import FRESH, ConvergedPi, ScriptedPi

RUNNER = "deploys.console.runner"


def test_as_declared_is_0_whatever_runs_or_was_backed_up(tmp_path: Path) -> None:
    answers = [
        (r"loomio-backup check", json.dumps({"ok": False, "problems": ["nothing for days"]})),
        (r"/api/v1/boot/version", "0"),
    ]
    done = ConvergedPi(tmp_path, answers=answers).deploy("drift", "--yes", module=RUNNER)
    assert done.code == 0, done.output
    assert "loomio: it is as declared." in done.output


def test_a_difference_is_2_and_is_named(tmp_path: Path) -> None:
    pi = ConvergedPi(tmp_path, answers=[(r"stat -c .*/usr/local/bin/loomio-backup", "")])
    done = pi.deploy("drift", "--json", module=RUNNER)
    assert done.code == 2, done.output
    document = json.loads(done.stdout)
    assert (document["ok"], document["exit_code"]) == (False, 2)
    [found] = document["hosts"].values()
    assert found["drift"] == [
        "Agent | Put loomio-backup on the path: setup would run: mkdir -p /usr/local/bin"
    ]
    assert found["drill"] is None


def test_what_cannot_be_looked_at_is_1(tmp_path: Path) -> None:
    armhf = ScriptedPi(tmp_path, machine=replace(FRESH, architecture="armhf"))
    assert armhf.deploy("drift", "--yes", module=RUNNER).code == 1
    (tmp_path / "gone").mkdir()
    gone = ConvergedPi(tmp_path / "gone", one_unreachable=True).deploy("drift", "--yes", module=RUNNER)
    assert gone.code == 1
    assert "loomio: it is as declared." in gone.output
