"""Exit codes of `loomio-pi deploy`: 0 only when all was done; pyinfra by itself says 0 more often."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.console import deploy

from .scripted import FRESH, ROOT, ConvergedPi, ScriptedPi

RUNNER = "deploys.console.runner"


def run(inventory: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", RUNNER, inventory, "deploys/setup.py", *options],
        cwd=ROOT,
        env={**os.environ, "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_done(tmp_path: Path) -> None:
    assert ScriptedPi(tmp_path).deploy("setup", "--dry", module=RUNNER).code == 0
    assert ConvergedPi(tmp_path).deploy("setup", "-y", module=RUNNER).code == 0


def test_refused(tmp_path: Path) -> None:
    machine = replace(FRESH, architecture="armhf")
    assert ScriptedPi(tmp_path, machine=machine).deploy("setup", "-y", module=RUNNER).code == 1


def test_an_operation_that_fails(tmp_path: Path) -> None:
    pi = ScriptedPi(tmp_path, answers=[(r"apt-get", {"success": False, "stderr": "E: no room"})])
    done = pi.deploy("setup", "-y", module=RUNNER)
    assert done.code == 1
    assert "E: no room" in done.output


@pytest.mark.parametrize("options", [("--dry",), ("-y",)])
def test_a_limit_that_matches_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = ScriptedPi(tmp_path).deploy("setup", "--limit", "nosuch", *options, module=RUNNER)
    assert done.code == 1
    assert "No host was worked on" in done.output


def test_an_inventory_that_is_not_there() -> None:
    done = run("inventories/nosuch.py", "-y")
    assert done.returncode == 1
    assert "No host was worked on" in done.stderr


def test_a_host_that_cannot_be_reached() -> None:
    done = run("tests/fake/unreachable.py", "-y")
    assert done.returncode == 1
    assert "loomio (127.0.0.1, port 1): could not log in, and nothing was changed on it" in done.stderr
    # Its key is not what is wrong.
    assert "ssh-keygen" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [("--dry",), ("-y",)])
def test_ctrl_c(tmp_path: Path, options: tuple[str, ...]) -> None:
    # Some seconds in all: the second look at the machine is when we press the keys.
    pi = ScriptedPi(tmp_path, delay=1)
    process = pi.start("setup", *options, module=RUNNER)
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if "Loading: " in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert "Interrupted" in rest
    assert "Traceback" not in rest


def test_a_name_that_is_no_deploy(capfd: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["stup"]) == 1
    assert capfd.readouterr().err == "loomio-pi: There is no deploy called 'stup'. Did you mean setup?\n"


def test_without_a_name_it_says_which_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    assert deploy.main([]) == 2
    assert "backup, disaster_recovery, drift, restore, setup, update, verify" in capfd.readouterr().err


def test_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["--help"]) == 0
    assert "backup, disaster_recovery, drift, restore, setup, update, verify" in capfd.readouterr().out
