"""What cannot work is refused before anything is changed: one sentence, exit code 1, no operation planned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploys.facts.machine import Machine

from .scripted import FRESH, Answer, ConvergedPi, ScriptedPi, installed, unit_lines

URL = "https://git.example.org/loomio-pi-stack.git"
HEAD = "1" * 40


def refused(pi: ScriptedPi, *words: str, deploy: str = "setup") -> None:
    done = pi.deploy(deploy)
    assert done.code == 1, done.output
    assert done.operations == []
    errors = [line for line in done.output.splitlines() if "pyinfra error" in line]
    assert len(errors) == 1, done.output
    assert "Nothing was changed" in errors[0]
    assert "Traceback" not in done.output
    for word in words:
        assert word in errors[0], errors[0]


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (replace(FRESH, architecture="armhf"), ["32-bit", "armhf", "64-bit Raspberry Pi OS"]),
        (replace(FRESH, architecture="riscv64"), ["riscv64", "arm64"]),
        (replace(FRESH, codename="bullseye", pretty="Debian 11"), ["Debian 11", "bookworm"]),
        (replace(FRESH, os="fedora", pretty="Fedora 44"), ["Fedora 44"]),
        (replace(FRESH, init="sh"), ["systemd"]),
        (replace(FRESH, memory_mib=480), ["480 MiB", "900 MiB"]),
        (replace(FRESH, disk_free_mib=900), ["900 MiB free", "5120 MiB"]),
        (replace(FRESH, uid=0, user="root"), ["root", "hosts.loomio.user"]),
        (replace(FRESH, sudo="absent"), ["sudo is not installed"]),
        (replace(FRESH, sudo=""), ["asks pi for a password", "loomio-pi secrets edit"]),
    ],
    ids=[
        "armhf",
        "riscv",
        "old",
        "fedora",
        "init",
        "memory",
        "disk",
        "root",
        "no-sudo",
        "password",
    ],
)
def test_machines(tmp_path: Path, machine: Machine, words: list[str]) -> None:
    refused(ScriptedPi(tmp_path, machine=machine), "loomio", *words)


def test_an_armhf_pi_is_refused_for_that_even_where_sudo_would_not_work_either(tmp_path: Path) -> None:
    refused(ScriptedPi(tmp_path, machine=replace(FRESH, architecture="armhf", sudo="")), "32-bit")


def test_less_room_is_enough_where_docker_is(tmp_path: Path) -> None:
    machine = replace(installed(FRESH, "docker-ce"), disk_free_mib=2000)
    done = ScriptedPi(tmp_path, machine=machine).deploy("setup")
    assert done.code == 0, done.output


@pytest.mark.parametrize(
    ("machine", "settings", "words"),
    [
        (
            replace(FRESH, codename="bookworm"),
            {"docker": {"source": "debian"}},
            ["bookworm", "version 1", "docker.source: docker"],
        ),
        (
            replace(FRESH, os="ubuntu", codename="noble", pretty="Ubuntu 24.04"),
            {"docker": {"source": "debian"}},
            ["Ubuntu 24.04"],
        ),
        (
            FRESH,
            {"docker": {"apt_key_fingerprint": "A" * 40}},
            ["docker.apt_key", "A" * 40, "9DC858229FC7DD38"],
        ),
        (FRESH, {"docker": {"apt_key": "missing.asc"}}, ["docker.apt_key", "missing.asc"]),
        (FRESH, {"docker": {"apt_key": "pi.yml"}}, ["docker.apt_key", "not an OpenPGP file"]),
        (FRESH, {"backup": {"schedule": "0 0 L * *"}}, ["backup.schedule", "'L'"]),
    ],
    ids=["bookworm", "ubuntu", "fingerprint", "missing-key", "no-key", "schedule"],
)
def test_settings(tmp_path: Path, machine: Machine, settings: dict[str, Any], words: list[str]) -> None:
    refused(ScriptedPi(tmp_path, machine=machine, settings=settings), *words)


def test_a_wrong_sudo_password(tmp_path: Path) -> None:
    failing: list[Answer] = [(r"^true$", {"success": False, "stderr": "sudo: 3 incorrect password attempts"})]
    secrets = {"hosts": {"loomio": {"sudo_password": "close sesame"}}}
    pi = ScriptedPi(tmp_path, machine=replace(FRESH, sudo=""), secrets=secrets, answers=failing)
    refused(pi, "did not accept the password of pi", "hosts.loomio.sudo_password")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [
                "status  M files/stack/docker-compose.yml",
                f"head {HEAD}",
                f"origin {URL}",
                "state clone",
                f"wanted {HEAD}",
            ],
            ["changed by hand", "docker-compose.yml", "git stash"],
        ),
        (
            [f"head {'2' * 40}", f"origin {URL}", "state unpublished", f"wanted {HEAD}"],
            ["2" * 12, "no branch or tag"],
        ),
        (["state foreign"], ["no git clone", "sudo mv"]),
    ],
    ids=["edited", "unpublished", "foreign"],
)
@pytest.mark.parametrize("deploy", ["setup", "disaster_recovery"])
def test_work_in_the_clone_is_never_thrown_away(
    tmp_path: Path, lines: list[str], words: list[str], deploy: str
) -> None:
    pi = ScriptedPi(tmp_path, answers=[(r"git ls-remote", lines)])
    refused(pi, "/opt/loomio-pi-stack", *words, deploy=deploy)


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ([(r"systemctl show --property=Id", unit_lines(restore="activating"))], "is running"),
        ([(r"restore-journal", "journal switching")], "was interrupted half-way"),
    ],
    ids=["running", "interrupted"],
)
def test_setup_does_not_start_the_app_in_the_middle_of_a_restore(
    tmp_path: Path, answers: list[Answer], word: str
) -> None:
    refused(ConvergedPi(tmp_path, answers=answers), word, "loomio-pi deploy disaster_recovery")


@pytest.mark.parametrize(("journal", "refuses"), [("preparing", True), ("done", False), ("left", False)])
def test_setup_waits_for_a_restore_that_was_started_on_the_pi(
    tmp_path: Path, journal: str, refuses: bool
) -> None:
    path = "/var/lib/loomio-backup/restore-unsettled"
    marker = "user=root group=root mode=-rw------- atime=1 mtime=1 ctime=1 size=0 " + f"'{path}'"
    answers = [(r"stat -c .*restore-unsettled", marker), (r"restore-journal", f"journal {journal}")]
    pi = ConvergedPi(tmp_path, answers=answers)
    if refuses:
        refused(pi, "started on this Pi itself", "loomio-backup settle")
    else:
        # All that is left to do is the start of the stack, which a setup does as well.
        assert pi.deploy("setup", "--dry").code == 0


def test_a_machine_that_is_no_linux(tmp_path: Path) -> None:
    refused(
        ScriptedPi(tmp_path, answers=[(r"docker_packages=", "% Invalid input detected")]), "Debian system"
    )
