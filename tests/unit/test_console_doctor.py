"""`loomio-pi doctor` and a Pi of scripted answers, which come over an `ssh` that is a small program of ours.

On a real Pi: the handbook's commands (tests/e2e/test_handbook.py), and tests/lab/test_console_init.py.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from deploys.console import main as console
from inventories.secrets import checked
from inventories.settings import load_settings
from tests.fake.scripted import (
    FRESH,
    Answer,
    ConvergedPi,
    compose_lines,
    drill_lines,
    installed,
    machine_lines,
    unit_lines,
)

from . import deploys_desk, operator_desk
from .operator_desk import Desk

_SSH = """#!{python}
import json, re, shlex, sys
if "-Oexit" in sys.argv: sys.exit(0)
script = json.load(open({script!r}))
if script["refuses"]:
    print("pi@127.0.0.1: Permission denied (publickey).", file=sys.stderr)
    sys.exit(255)
words = shlex.split(sys.argv[-1])
if "sudo" in words and script["sudo"] is not None and sys.stdin.readline().rstrip("\\n") != script["sudo"]:
    print("sudo: 1 incorrect password attempt", file=sys.stderr)
    sys.exit(1)
for pattern, answer in script["answers"]:
    if re.search(pattern, words[-1]):
        print("\\n".join(answer) if isinstance(answer, list) else answer)
        break
"""
MACHINE = installed(FRESH, "docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin")


@dataclass
class Patient:
    """A Pi and its operator's desk; `door` is where its SSH listens."""

    desk: Desk
    door: socket.socket
    settings: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    script: dict[str, Any] = field(default_factory=dict)

    def examined(self, *answers: Answer, machine: Any = MACHINE, **script: Any) -> int:
        folder = self.desk.folder
        self.desk.prepare(None)
        host = {"hosts": {"loomio": {"address": "127.0.0.1", "port": self.door.getsockname()[1]}}}
        file = deploys_desk.write_settings(folder, **deploys_desk.merged(host, self.settings))
        text = deploys_desk.secrets_text(**self.secrets)
        self.desk.secrets.write_bytes(operator_desk.encrypted(text))
        self.desk.secrets.chmod(0o600)
        converged = ConvergedPi(folder).converged(load_settings(file), checked(text, "x"))
        known = [
            *answers,
            (r"date -u \+%s", str(int(time.time()))),
            (r"docker_packages=", machine_lines(machine)),
            (r"&& echo yes", "yes"),
            *converged,
        ]
        (folder / "script.json").write_text(
            json.dumps({"answers": known, "refuses": False, "sudo": None, **script})
        )
        return console.main(["doctor"])


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    programs = tmp_path / "bin"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(_SSH.format(python=sys.executable, script=str(tmp_path / "script.json")))
    ssh.chmod(0o755)
    desk = Desk(tmp_path)
    for name, value in desk.variables().items():
        if name.startswith("LOOMIO_PI_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield Patient(desk, door)


def problems(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert err == ""
    return [line.strip().removeprefix("PROBLEM  ") for line in out.splitlines() if "PROBLEM" in line]


def test_all_is_well(patient: Patient, capsys: pytest.CaptureFixture[str]) -> None:
    assert patient.examined() == 0
    out = capsys.readouterr().out
    assert "PROBLEM" not in out
    assert out.endswith("\nAll is well.\n")
    order = ["programs", "settings", "secrets", "something answers", "can log in", "sudo", "clock", "fit"]
    order += ["Docker runs", "every service", "agent is there", "newest backup", "last drill passed"]
    places = [out.find(words) for words in order]
    assert places == sorted(places)
    assert -1 not in places


def test_a_pi_that_is_not_there_or_does_not_let_in(
    patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert patient.examined(refuses=True) == 1
    [said] = problems(capsys)
    assert "does not let you in" in said
    patient.settings = {"hosts": {"loomio": {"port": 1}}}
    assert patient.examined() == 1
    assert problems(capsys) == ["nothing answers at 127.0.0.1, port 1 (Connection refused)"]
    patient.settings = {"hosts": {"loomio": {"address": "no-such-pi.invalid"}}}
    assert patient.examined() == 1
    [said] = problems(capsys)
    assert said.startswith("the name no-such-pi.invalid has no address")


def test_sudo(patient: Patient, capsys: pytest.CaptureFixture[str]) -> None:
    locked = replace(MACHINE, sudo="")
    assert patient.examined(machine=locked, sudo="sesame") == 1
    assert problems(capsys) == ["sudo asks pi for a password, and the secrets have none"]
    patient.secrets = {"hosts": {"loomio": {"sudo_password": "sentinel"}}}
    assert patient.examined(machine=locked, sudo="sesame") == 1
    [said] = problems(capsys)
    assert "sudo on loomio refuses" in said
    assert "sentinel" not in said
    assert patient.examined(machine=locked, sudo="sentinel") == 0


CASES: dict[str, tuple[list[Answer], list[str]]] = {
    "clock": ([(r"date -u \+%s", "1700000000")], ["its clock is "]),
    "room": (
        [(r"docker_packages=", machine_lines(replace(MACHINE, disk_free_mib=100)))],
        ["/var/lib has 100 MiB free; at least 1024 MiB are needed"],
    ),
    "no Docker": (
        [(r"docker_packages=", machine_lines(FRESH))],
        ["Docker is not installed: this Pi was not set up yet"],
    ),
    "Docker stands still": ([(r"&& echo yes", "")], ["Docker does not run"]),
    "a service is ill": (
        [(r"config --services", compose_lines(unhealthy=["worker"]))],
        ["Not healthy: worker (on the Pi: sudo docker compose logs --tail 50 worker)"],
    ),
    "no web": (
        [(r"/api/v1/boot/version", "0")],
        ["The web interface does not answer on http://127.0.0.1:3000"],
    ),
    "no agent": ([(r"loomio-backup status", "")], ["the agent, loomio-backup, does not answer"]),
    "a timer is off": (
        [(r"systemctl show --property=Id", unit_lines(enabled="disabled"))],
        ["loomio-backup.timer is not active, so no backups are made: run loomio-pi deploy setup"],
    ),
    "no backup": (
        [(r"loomio-backup check", json.dumps({"ok": False, "problems": ["there is no backup"]}))],
        ["Backups in local: there is no backup"],
    ),
    "no drill": (
        [(r"loomio-backup status", json.dumps({"stores": []}))],
        ["no backup in local was ever restored for proof"],
    ),
    "a drill that failed": (
        [(r"loomio-backup status", drill_lines(passed=False))],
        ["the last drill failed (whole)"],
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_what_is_wrong_on_the_pi_is_named(
    patient: Patient, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, expected = CASES[what]
    assert patient.examined(*answers) == 1
    said = problems(capsys)
    assert len(said) == len(expected)
    for one, start in zip(said, expected, strict=True):
        assert one.startswith(start)


def test_a_drive_that_does_not_answer(patient: Patient, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = "http://127.0.0.1:1/"
    patient.settings = {"backup": {"drive": {"api_root": nowhere, "token_uri": nowhere}}}
    patient.secrets = {
        "drive": {
            "credentials": {
                "type": "service_account", "client_email": "x@y", "private_key": "none", "token_uri": nowhere,
            }
        }
    }  # fmt: skip
    assert patient.examined((r"loomio-backup status", drill_lines("drive"))) == 1
    [said] = problems(capsys)
    assert said.startswith("Google Drive: ")


def test_secrets_come_before_any_pi(patient: Patient, capsys: pytest.CaptureFixture[str]) -> None:
    patient.settings = {"backup": {"drive": {}}}
    assert patient.examined() == 1
    out = capsys.readouterr().out
    assert "drive.credentials is missing" in out
    assert "127.0.0.1" not in out
