"""`loomio-pi deploy verify` on a Pi that has been recovered: content with it, and with nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.docker import wait_until
from tests.lab.drill.fingerprint import Fingerprint
from tests.lab.drill.judge import web_status
from tests.lab.drill.life import PROJECT
from tests.lab.drill.operator import HOST
from tests.lab.pi import Pi

from .conftest import Drill

pytestmark = [pytest.mark.lab, pytest.mark.drill]

STACK = "/opt/loomio-pi-stack"
#: What somebody changes by hand (a shell command for each file) → how verify names it.
BY_HAND = {
    "/etc/docker/daemon.json": (
        """sed -i 's/"live-restore": true/"live-restore": false/' {file}""",
        "Docker | Configure the engine (daemon.json): /etc/docker/daemon.json: not as declared: live-restore",
    ),
    f"{STACK}/files/stack/docker-compose.yml": (
        "echo '# tried something' >> {file}",
        f"Stack | Clone the stack's repository at lab: files of {STACK} were changed by hand: "
        "files/stack/docker-compose.yml",
    ),
    f"{STACK}/.env": (
        "sed -i 's/^SITE_NAME=.*/SITE_NAME=Wrong/; $a OUR_OWN_SECRET=do-not-show-this' {file}",
        f"Stack | Write the stack's .env: {STACK}/.env is not as declared "
        "(differs: SITE_NAME; added: OUR_OWN_SECRET)",
    ),
    "/etc/loomio-backup/config.yml": (
        "echo '# tried something' >> {file}",
        "Agent | Write the agent's configuration: /etc/loomio-backup/config.yml is not as declared",
    ),
    "/etc/loomio-backup/credentials/drive.json": (
        "chmod 0644 {file}",
        "Agent | Write the credential drive.json: /etc/loomio-backup/credentials/drive.json is "
        "root root 644 instead of root root 600",
    ),
    "/etc/systemd/system/loomio-backup.service": (
        "sed -i 's/^TimeoutStartSec=.*/TimeoutStartSec=1h/; $a # tried' {file}",
        "Schedule | Write loomio-backup.service: "
        "/etc/systemd/system/loomio-backup.service is not as declared",
    ),
}


def verify(drill: Drill, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, what the one document says of the Pi, and everything printed."""
    done = drill.rehearsal.operator.deploy("verify", *options)
    found = json.loads(done.stdout)
    assert found["exit_code"] == done.code, done.output[-3000:]
    return done.code, found["hosts"][HOST], done.output


@contextmanager
def changed_by_hand(pi: Pi, commands: Mapping[str, str]) -> Iterator[None]:
    """Run a command for each file; afterwards every file is again what it was, its times included."""
    for path, command in commands.items():
        pi.run("cp", "-a", path, f"{path}.lab-kept")
        pi.run("sh", "-c", command.replace("{file}", path))
    try:
        yield
    finally:
        for path in commands:
            pi.run("mv", "-f", f"{path}.lab-kept", path)
        pi.run("systemctl", "daemon-reload")


@pytest.fixture(scope="module", autouse=True)
def as_declared(trixie: Drill) -> None:
    """Other tests of this Pi damage what they find: setup puts it right."""
    finished = trixie.rehearsal.operator.deploy("setup")
    assert finished.code == 0, finished.output[-3000:]


def test_a_look_changes_nothing_and_finds_nothing(trixie: Drill) -> None:
    pi = trixie.rehearsal.pi
    before = Fingerprint.of(pi)
    code, host, output = verify(trixie, "--data", "drill=off")
    assert (code, host["problems"], host["drift"]) == (0, [], []), output[-3000:]
    assert before.differences(Fingerprint.of(pi)) == []


def test_what_was_changed_by_hand_is_drift_and_named(trixie: Drill) -> None:
    pi = trixie.rehearsal.pi
    with changed_by_hand(pi, {path: command for path, (command, _) in BY_HAND.items()}):
        before = Fingerprint.of(pi)
        code, host, output = verify(trixie, "--data", "drill=off")
        assert before.differences(Fingerprint.of(pi)) == []
    assert (code, host["problems"]) == (2, []), output[-3000:]
    lines = [line.partition(". Nothing was changed")[0] for line in host["drift"]]
    assert [line for _, line in BY_HAND.values() if line not in lines] == [], lines
    # What follows from these changes, and nothing else.
    more = {line.partition(":")[0] for line in lines if line not in {line for _, line in BY_HAND.values()}}
    assert more <= {"Stack | Start every service", "Schedule | Make systemd read the units"}, more
    assert "do-not-show-this" not in output
    assert verify(trixie, "--data", "drill=off")[:1] == (0,)


def test_a_stopped_service_is_a_failure(trixie: Drill) -> None:
    pi = trixie.rehearsal.pi
    worker = f"{PROJECT}-worker-1"
    pi.run("docker", "stop", worker)
    try:
        code, host, output = verify(trixie, "--data", "drill=off")
    finally:
        pi.run("docker", "start", worker)
    assert code == 1
    assert any("Not healthy: worker" in problem for problem in host["problems"]), output[-3000:]
    assert "no running container: worker" in " ".join(host["drift"])
    wait_until(lambda: verified_healthy(pi, worker), "the worker", 180)
    assert web_status(pi) == 200


def verified_healthy(pi: Pi, container: str) -> bool:
    shown = pi.run("docker", "inspect", "--format", "{{json .State}}", container)
    state: dict[str, Any] = json.loads(shown)
    return bool(state["Running"]) and state.get("Health", {}).get("Status", "healthy") == "healthy"
