"""verify.py against scripted Pis: every fault and every difference is named, and nothing is ever changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from .scripted import (
    ALL_SERVICES,
    Answer,
    ConvergedPi,
    Finished,
    ScriptedPi,
    compose_lines,
    drill_lines,
    unit_lines,
)

RUNNER = "deploys.console.runner"
BAD = json.dumps({"ok": False, "complete": False, "problems": ["the newest backup is 3 days old"]})
START = r"systemctl start --no-block loomio-backup-verify"
OLD = drill_lines(finished_at="2026-11-22T12:00:00Z")
FAILED = drill_lines(passed=False, problems=["table users: 11 rows instead of 12"])


def verify(folder: Path, *answers: Answer, options: tuple[str, ...] = (), **pi: Any) -> Finished:
    """As `loomio-pi deploy verify` runs it."""
    found = ConvergedPi(folder, answers=answers, **pi)
    return found.deploy("verify", "-y", *options, module=RUNNER)


def document(finished: Finished) -> dict[str, Any]:
    """The one document that is printed with --json."""
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_a_healthy_pi(tmp_path: Path) -> None:
    done = verify(tmp_path)
    assert done.code == 0, done.output
    assert "loomio: all is well." in done.output
    assert "If this Pi dies now: 14 min of work lost." in done.output
    assert (
        "passed (whole) with loomio_backup_20261123_120000 from local: 1200 rows in 44 tables" in done.output
    )


def test_only_the_drill_and_the_verdict_are_operations(tmp_path: Path) -> None:
    verdict = "Verify | Verdict"
    drill = "Verify | Restore the newest backup for proof (whole)"
    assert ConvergedPi(tmp_path).deploy("verify").operations == [drill, verdict]
    options = ("--dry", "--json", "--data", "drill=off")
    assert ConvergedPi(tmp_path).deploy("verify", *options).operations == [verdict]


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
        (
            (r"systemctl show --property=Id", unit_lines(service="failed", which="-verify")),
            ["The last drill failed"],
        ),
        ((r"loomio-backup check", BAD), ["Backups in local", "3 days old"]),
        ((r"loomio-backup check", ""), ["no verdict"]),
    ],
    ids=[
        *("unhealthy", "missing", "engine", "web", "no-web", "timer", "watch", "failed", "prune", "drill"),
        *("backup", "agent"),
    ],
)
def test_every_fault_is_named(tmp_path: Path, answer: Answer, words: list[str]) -> None:
    done = verify(tmp_path, answer, options=("--data", "drill=off"))
    assert done.code == 1, done.output
    for word in words:
        assert word in done.output


def test_a_fresh_pi_is_not_as_declared(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path).deploy("verify", "-y", module=RUNNER)
    assert done.code == 1
    assert "Traceback" not in done.output
    assert "not installed: ca-certificates, python3, python3-venv, git, unattended-upgrades" in done.output
    assert "the agent is not installed" in done.output


def test_all_faults_are_named_at_once_and_win_over_drift(tmp_path: Path) -> None:
    answers: list[Answer] = [
        (r"/api/v1/boot/version", "0"),
        (r"loomio-backup check", BAD),
        (r"config --services", compose_lines(unhealthy=["db"])),
        (r"dpkg -l", ["ii  git  1.0  all  words"]),
        (START, "It has ended: exit-code"),
        (r"loomio-backup status --json", FAILED),
    ]
    done = verify(tmp_path, *answers)
    assert done.code == 1
    for word in (
        "does not answer",
        "3 days old",
        "Not healthy: db",
        "not installed: ",
        "11 rows instead of 12",
    ):
        assert word in done.output
    assert "failed, not as declared" in done.output


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            [(START, "It has ended: exit-code"), (r"loomio-backup status --json", FAILED)],
            "The drill failed: table users: 11 rows instead of 12. More, on the Pi: sudo journalctl -u",
        ),
        # The unit says that it ended well; what counts is what it found.
        ([(r"loomio-backup status --json", FAILED)], "The drill failed: table users"),
        (
            [(START, "It has ended: exit-code"), (r"loomio-backup status --json", OLD)],
            "The drill came to no result; the lines above say why. More, on the Pi",
        ),
        # It judges the store as well.
        ([(START, "It has ended: exit-code")], "_120000 came back, but the agent found other faults."),
        (
            [(r"loomio-backup status --json", OLD)],
            "The drill left no result",
        ),
        ([(r"loomio-backup status --json", "")], "The drill left no result"),
        ([(START, "line")], "The connection to the Pi was lost. The drill goes on there by itself"),
        (
            [(r"for unit in loomio-backup-verify", "")],
            "this Pi is not set up for drills yet. Run first: loomio-pi deploy setup",
        ),
    ],
    ids=["failed", "contradiction", "no-result", "other", "old-result", "no-record", "lost", "no-unit"],
)
def test_a_drill_that_does_not_pass(tmp_path: Path, answers: list[Answer], words: str) -> None:
    done = verify(tmp_path, *answers)
    assert done.code == 1, done.output
    assert words in done.output
    assert "Traceback" not in done.output


def test_a_sample_is_another_unit(tmp_path: Path) -> None:
    answers: list[Answer] = [
        (r"start --no-block loomio-backup-verify-sample\.service", ["sampled", "It has ended: success"]),
        (r"loomio-backup status --json", drill_lines(scope="sample")),
    ]
    done = verify(tmp_path, *answers, options=("--data", "drill=sample"))
    assert done.code == 0, done.output
    assert "] sampled" in done.output
    assert "passed (a sample of the files)" in done.output


@pytest.mark.parametrize("word", ["full", "false", ""])
def test_a_wrong_word_is_refused_before_the_pi_is_asked_anything(tmp_path: Path, word: str) -> None:
    done = verify(tmp_path, options=("-vvv", "--data", f"drill={word}"))
    assert done.code == 1
    assert "is not understood. Nothing was looked at." in done.output
    assert "docker_packages" not in done.output


def test_a_look_without_the_drill(tmp_path: Path) -> None:
    answers: list[Answer] = [(START, "It has ended: exit-code")]
    assert verify(tmp_path, *answers, options=("--dry",)).code == 0
    assert verify(tmp_path, *answers, (r"dpkg -l", "ii  git  1.0  all  words"), options=("--dry",)).code == 2


def test_one_document_for_programs(tmp_path: Path) -> None:
    found = document(verify(tmp_path, options=("--json",)))
    assert (found["ok"], found["exit_code"], list(found["hosts"])) == (True, 0, ["@fake/loomio"])
    host = found["hosts"]["@fake/loomio"]
    assert (host["ok"], host["problems"], host["drift"]) == (True, [], [])
    assert host["backups"] == {"ok": True, "complete": True, "problems": []}
    assert host["drill"]["rows"] == 1200


def test_the_document_of_a_pi_that_drifted(tmp_path: Path) -> None:
    done = verify(tmp_path, (r"dpkg -l", "ii  git  1.0  all  words"), options=("--json",))
    found = document(done)
    assert (done.code, found["ok"], found["exit_code"]) == (2, False, 2)
    drift = found["hosts"]["@fake/loomio"]["drift"]
    assert drift[0].startswith("System | Install the packages of the system")


def test_plain_pyinfra_fails_over_drift_too(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path, answers=[(r"dpkg -l", "ii  git  1.0  all  words")]).deploy("verify", "-y")
    assert done.code == 1
    assert "loomio: not as declared in 2 points." in done.output
    assert "To make it as declared: loomio-pi deploy setup" in done.output


def test_during_a_restore_only_that_is_said(tmp_path: Path) -> None:
    units = unit_lines(restore="activating")
    done = verify(tmp_path, (r"systemctl show --property=Id", units), options=("--json",))
    host = document(done)["hosts"]["@fake/loomio"]
    assert done.code == 1
    assert len(host["problems"]) == 1
    assert "a restore is running on this Pi" in host["problems"][0]
    assert (host["drift"], host["drill"]) == ([], None)


def test_a_pi_that_stops_answering(tmp_path: Path) -> None:
    gone: Answer = (r"dpkg -l", {"success": False, "stderr": "closed"})
    done = verify(tmp_path, gone, options=("--json",))
    assert done.code == 1
    assert "stopped answering" in document(done)["hosts"]["@fake/loomio"]["problems"][0]
    assert "Traceback" not in done.output


@pytest.mark.parametrize("lends", [True, False])
def test_with_an_offline_key_the_identity_is_lent_and_shown_nowhere(tmp_path: Path, lends: bool) -> None:
    lending: Answer = (r"cat > /run/loomio-backup-verify\.identity", {"success": lends})
    offline = {"encryption": {"offline_key": True}}
    done = verify(tmp_path, lending, options=("-vvv",), settings=offline)
    assert done.code == (0 if lends else 1), done.output
    assert ("No drill: the key could not be lent to the Pi" in done.output) is not lends
    assert "AGE-SECRET-KEY" not in done.output


@pytest.mark.parametrize(
    "gone", [{"success": False, "stderr": "the line is cut"}, {"lost": True}], ids=["fact", "connection"]
)
@pytest.mark.parametrize("asked", [r"date -u \+%s", r"cmp -s -", r"loomio-backup probe"])
def test_a_pi_that_is_gone_in_the_middle_shows_its_reason_and_no_traceback(
    tmp_path: Path, asked: str, gone: dict[str, object]
) -> None:
    done = verify(tmp_path, (asked, gone))
    assert done.code != 0
    assert "the line is cut" in done.output
    assert "Traceback" not in done.output
    assert "Unexpected error" not in done.output


def test_a_mistake_in_a_deploy_still_looks_like_one(tmp_path: Path) -> None:
    done = verify(tmp_path, (r"date -u \+%s", "no number"))
    assert done.code != 0
    assert "Traceback" in done.output
