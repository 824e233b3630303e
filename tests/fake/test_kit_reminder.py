"""`loomio-pi deploy` reminds of the recovery kit where an operator is sure to see it: in the last line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploys.console import kit_record
from inventories.secrets import checked
from inventories.settings import load_settings

from .scripted import ConvergedPi, Finished, ScriptedPi

RUNNER = "deploys.console.runner"


def last(done: Finished) -> str:
    return done.output.strip().splitlines()[-1]


def test_setup_says_it_last(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path).deploy("setup", "-y", module=RUNNER)
    assert done.code == 0
    assert last(done).startswith("Reminder: There is no recovery kit: without one")


def test_not_when_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pi = ConvergedPi(tmp_path)
    script = pi.script()
    text = json.loads(script.read_text())["secrets"]
    # The secrets are generated anew each time that the script is written.
    monkeypatch.setattr(ScriptedPi, "script", lambda _: script)
    settings, secrets = load_settings(tmp_path / "pi.yml"), checked(text, "x")
    kit_record.note_printed(tmp_path / "pi.yml", settings, secrets)
    kit_record.note_checked(tmp_path / "pi.yml", secrets.encryption.identity.get_secret_value(), "x")
    done = pi.deploy("setup", "-y", module=RUNNER)
    assert done.code == 0
    assert "Reminder" not in done.output
    (tmp_path / "kit.json").write_text("{")
    assert "Reminder: " in last(pi.deploy("setup", "-y", module=RUNNER))


def test_a_failure_and_a_recovery_have_other_things_to_say(tmp_path: Path) -> None:
    pi = ScriptedPi(tmp_path, answers=[(r"apt-get", {"success": False, "stderr": "E: no room"})])
    assert "Reminder" not in pi.deploy("setup", "-y", module=RUNNER).output
