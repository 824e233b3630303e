"""verify.py against scripted Pis: every fault is named with exit code 1, and it never changes anything."""

import json
from pathlib import Path

import pytest

from .scripted import ALL_SERVICES, Answer, ConvergedPi, ScriptedPi, compose_lines, unit_lines

BAD = json.dumps({"ok": False, "complete": False, "problems": ["the newest backup is 3 days old"]})


def test_a_healthy_pi(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path).deploy("verify", "-y")
    assert done.code == 0, done.output
    assert "no Drive is configured" in done.output
    assert "complete and young enough" in done.output


def test_it_has_no_operations_at_all(tmp_path: Path) -> None:
    assert ConvergedPi(tmp_path).deploy("verify").operations == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((r"config --services", compose_lines(unhealthy=["worker"])), ["Not healthy: worker"]),
        (
            (r"config --services", compose_lines([name for name in ALL_SERVICES if name != "app"])),
            ["Not healthy: app"],
        ),
        ((r"config --services", "absent no engine"), ["Docker does not run"]),
        ((r"/api/v1/boot/version", "500"), ["status 500"]),
        ((r"/api/v1/boot/version", "0"), ["does not answer"]),
        (
            (r"systemctl show --property=Id", unit_lines(timer="inactive")),
            ["loomio-backup.timer is not active"],
        ),
        (
            (r"systemctl show --property=Id", unit_lines(timer="inactive", which="-watch")),
            ["loomio-backup-watch.timer is not active", "nobody is told"],
        ),
        ((r"systemctl show --property=Id", unit_lines(service="failed")), ["The last backup failed"]),
        (
            (r"systemctl show --property=Id", unit_lines(service="failed", which="-prune")),
            ["The last removal of old backups failed"],
        ),
        ((r"loomio-backup check", BAD), ["Backups in local", "3 days old"]),
        ((r"loomio-backup check", ""), ["no verdict"]),
    ],
    ids=[
        *("unhealthy", "missing", "engine", "web", "no-web", "timer", "watch", "failed", "prune", "backup"),
        "agent",
    ],
)
def test_every_fault_is_named(tmp_path: Path, answer: Answer, words: list[str]) -> None:
    done = ConvergedPi(tmp_path, answers=[answer]).deploy("verify", "-y")
    assert done.code == 1, done.output
    assert "Nothing was changed" in done.output
    for word in words:
        assert word in done.output


def test_a_fresh_pi_is_not_as_declared(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path).deploy("verify", "-y")
    assert done.code == 1
    assert "Traceback" not in done.output


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    answers: list[Answer] = [
        (r"/api/v1/boot/version", "0"),
        (r"loomio-backup check", BAD),
        (r"config --services", compose_lines(unhealthy=["db"])),
    ]
    output = ConvergedPi(tmp_path, answers=answers).deploy("verify", "-y").output
    for word in ("does not answer", "3 days old", "Not healthy: db"):
        assert word in output
