"""Every lock of the units holds by itself, all of them hold together, and none is there for nothing."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploys.steps import schedule
from deploys.steps.paths import (
    AGENT_COMMAND,
    BACKUP_SERVICE,
    LABELLED_BACKUP,
    LENT_TO_DRILL,
    PRUNE_SERVICE,
    VERIFY_SERVICE,
    WATCH_SERVICE,
)
from deploys.steps.preflight import Target
from tests.fake.scripted import FRESH
from tests.unit import deploys_desk as desk

from . import pi_sandbox as sandbox
from .docker import LabError
from .lab import LABEL
from .pi import Pi, Release, start

pytestmark = pytest.mark.lab
UNITS = (BACKUP_SERVICE, LABELLED_BACKUP, PRUNE_SERVICE, VERIFY_SERVICE, WATCH_SERVICE)
ALL = sorted({name for names in sandbox.ATTEMPTS.values() for name in names})
if platform.machine() != "x86_64":
    ALL.remove("call_as_another_architecture")


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def pi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    release: Release = request.param
    key = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    name = f"loomio-lab-sandbox-{release}-{key.stat().st_mtime_ns % 10**6}"
    made = Pi(name, release, 0, None)
    try:
        made = start(
            name,
            release,
            network="bridge",
            label=f"{LABEL}={name}",
            key=key.with_suffix(".pub"),
            sudo_password=None,
        )
        sandbox.prepare(made)
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    credentials = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}
    settings = desk.settings(tmp_path_factory.mktemp("desk"), backup={"drive": {}})
    secrets = desk.secrets(drive={"credentials": credentials})
    return schedule.contents(Target(desk.HOST, settings, secrets, FRESH, {}))


def test_without_any_lock_everything_is_let_through(pi: Pi, units: dict[str, str]) -> None:
    """Otherwise a refusal would prove nothing."""
    found = sandbox.attempt(pi, sandbox.companions(units[WATCH_SERVICE]), ALL)
    assert {name: said for name, said in found.items() if said != "done"} == {}


@pytest.mark.parametrize("unit", UNITS)
def test_all_locks_together(pi: Pi, units: dict[str, str], unit: str) -> None:
    found = sandbox.locks(units[unit])
    together = [*sandbox.companions(units[unit]), *(one for group in found.values() for one in group)]
    # A backup needs Docker; who has that socket needs nothing else.
    allowed = {"talk_to_docker"} - ({"talk_to_docker"} if "InaccessiblePaths" in found else set())
    said = sandbox.attempt(pi, together, [*ALL, *sandbox.NEEDED])
    done = {name for name, one in said.items() if one == "done"}
    assert done == allowed | set(sandbox.NEEDED), said
    assert not [one for one in said.values() if one.startswith("broken")]


def test_each_lock_by_itself(pi: Pi, units: dict[str, str]) -> None:
    unit = units[WATCH_SERVICE]
    found = sandbox.locks(unit)
    assert sorted(found) == sorted(sandbox.ATTEMPTS)

    def let_through(key: str) -> list[str]:
        wanted = [name for name in sandbox.ATTEMPTS[key] if name in ALL]
        said = sandbox.attempt(pi, [*sandbox.companions(unit), *found[key]], wanted)
        return [f"{key}: {name} {one}" for name, one in said.items() if not one.startswith("refused")]

    with ThreadPoolExecutor(4) as pool:
        assert [one for ones in pool.map(let_through, sandbox.ATTEMPTS) for one in ones] == []


@pytest.mark.parametrize("unit", [BACKUP_SERVICE, WATCH_SERVICE])
def test_memory_is_bounded(pi: Pi, units: dict[str, str], unit: str) -> None:
    limits = [one for one in sandbox.directives(units[unit]) if one[0] == "MemoryMax"]
    fill = "print(len(bytearray(600 << 20)))"
    assert sandbox.run(pi, [], "python3", "-c", fill) == str(600 << 20)
    with pytest.raises(LabError):
        sandbox.run(pi, limits, "python3", "-c", fill)
    # The agent itself is promised to stay below 150 MB.
    sandbox.run(pi, limits, "python3", "-c", "bytearray(150 << 20)")


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_itself_finds_little_to_improve(pi: Pi, units: dict[str, str], unit: str) -> None:
    name = unit.replace("@", "@x")
    pi.run("sh", "-c", f"cat > /run/systemd/system/{unit}", input=units[unit].encode())
    pi.run("systemctl", "daemon-reload")
    said = pi.run("systemd-analyze", "security", "--no-pager", name)
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert exposure, said
    # Root, and a network: a backup can be no better than this.
    assert float(exposure[1]) <= 3.0, said
    # Every line of the unit is understood, by both releases.
    pi.run("ln", "-sf", "/bin/true", "/usr/local/bin/loomio-backup")
    checked = ["systemd-analyze", "verify", f"/run/systemd/system/{name}"]
    if unit != name:
        pi.run("cp", f"/run/systemd/system/{unit}", checked[-1])
    done = subprocess.run(["docker", "exec", pi.name, *checked], capture_output=True, text=True, timeout=120)
    assert not [line for line in done.stderr.splitlines() if line.startswith("/run/systemd/system/loomio")]


def test_a_drill_is_lent_a_key_or_begins_without_one(
    pi: Pi, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = desk.settings(tmp_path_factory.mktemp("desk"), encryption={"offline_key": True})
    unit = schedule.contents(Target(desk.HOST, settings, desk.secrets(), FRESH, {}))[VERIFY_SERVICE]
    # There is no Docker on this Pi, and no watch.
    text = re.sub(r"(?m)^(Requires|OnSuccess|OnFailure)=.*\n", "", unit)
    pi.run("sh", "-c", f"cat > /run/systemd/system/{VERIFY_SERVICE}", input=text.encode())
    program = '#!/bin/sh\ntr "\\n" . < "$CREDENTIALS_DIRECTORY/identity" > /var/lib/loomio-backup/seen\n'
    pi.run("rm", "-f", AGENT_COMMAND)
    pi.run("sh", "-c", f"cat > {AGENT_COMMAND} && chmod 0755 {AGENT_COMMAND}", input=program.encode())
    pi.run("systemctl", "daemon-reload")

    def seen() -> str:
        pi.run("systemctl", "start", VERIFY_SERVICE)
        return pi.run("cat", "/var/lib/loomio-backup/seen")

    # The agent takes an empty one for none.
    assert seen() == "."
    pi.run("sh", "-c", f"umask 077; cat > {LENT_TO_DRILL}", input=b"AGE-SECRET-KEY-1LENT\n")
    assert seen() == "AGE-SECRET-KEY-1LENT."
    assert not pi.succeeds("test", "-e", LENT_TO_DRILL)
    assert seen() == "."


def test_what_the_settings_put_into_a_home_is_there_and_nothing_else(
    pi: Pi, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = desk.settings(
        tmp_path_factory.mktemp("desk"),
        stack={"directory": "/home/pi/stack"},
        backup={"local": {"path": "/home/pi/disk/loomio", "mount_point": "/home/pi/disk"}},
    )
    units = schedule.contents(Target(desk.HOST, settings, desk.secrets(), FRESH, {}))
    pi.run("sh", "-ec", "mkdir -p /home/pi/stack /home/pi/disk; echo A=1 > /home/pi/stack/.env", user="pi")
    # A disk that is mounted belongs to root.
    pi.run("chown", "root:root", "/home/pi/disk")
    look = "cat /home/pi/stack/.env; touch /home/pi/disk/x && echo written; ls /home/pi"
    ours = [one for one in sandbox.directives(units[BACKUP_SERVICE]) if one[0].startswith("Bind")]
    locks = [one for group in sandbox.locks(units[BACKUP_SERVICE]).values() for one in group]
    together = [*sandbox.companions(units[BACKUP_SERVICE]), *locks]
    assert sandbox.run(pi, [*together, *ours], "sh", "-c", look).split() == [
        "A=1",
        "written",
        "disk",
        "stack",
    ]
    assert "stack" not in sandbox.run(pi, together, "sh", "-c", "ls /home")
    with pytest.raises(LabError):
        sandbox.run(pi, [*together, *ours], "touch", "/home/pi/stack/x")
