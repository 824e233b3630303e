"""No secret leaves its file: searched after a whole drill on a Pi whose sudo asks for a password."""

from __future__ import annotations

import pytest

from tests.lab.exec_trace import ExecTrace

from . import leaks
from .conftest import Drill, secret_values

pytestmark = [pytest.mark.lab, pytest.mark.drill]
#: Files that setup writes with secrets in them: deleted, so that a talkative setup has to write them again.
SECRET_FILES = (
    "/opt/loomio-pi-stack/.env",
    "/etc/loomio-backup/credentials/identity",
    "/etc/loomio-backup/credentials/signing_key",
    "/etc/loomio-backup/credentials/drive.json",
    "/etc/loomio-backup/credentials/alerts.json",
)


def test_everything_came_back(bookworm: Drill) -> None:
    from tests.lab.drill.judge import judge

    judge(bookworm.rehearsal)
    assert bookworm.rehearsal.report.problems == []
    assert bookworm.rehearsal.report.second_setup_changes == 0


def test_the_sentinels_are_the_secrets_themselves(bookworm: Drill) -> None:
    sentinels = secret_values(bookworm.rehearsal.operator)
    names = set(sentinels)
    assert "passphrase" in names
    for needed in ("identity", "signing_key", "postgres_password", "secret_cookie_token", "sudo_password"):
        assert any(needed in name for name in names), needed
    assert any("refresh_token" in name for name in names)


def test_no_secret_was_logged_or_left_readable(bookworm: Drill) -> None:
    rehearsal = bookworm.rehearsal
    sentinels = secret_values(rehearsal.operator)
    assert bookworm.seen["leaks in the first Pi's journal"] == []
    assert bookworm.seen["leaks in the first Pi's files"] == []
    assert leaks.in_folder_logs(sentinels, rehearsal.operator.folder) == []
    assert leaks.in_journal(sentinels, rehearsal.pi) == []
    assert leaks.in_readable_files(sentinels, rehearsal.pi) == []


def test_no_secret_was_an_argument(bookworm: Drill) -> None:
    if bookworm.trace is None:
        pytest.skip("tracing every program needs root")
    assert len(bookworm.trace.commands) > 1000, "hardly anything was traced"
    assert leaks.in_arguments(secret_values(bookworm.rehearsal.operator), bookworm.trace) == []


def test_a_talkative_setup_shows_no_secret(bookworm: Drill) -> None:
    rehearsal = bookworm.rehearsal
    rehearsal.pi.run("rm", *SECRET_FILES)
    finished = rehearsal.operator.deploy("setup", "-vvv", "--diff")
    assert finished.code == 0, finished.output[-3000:]
    rehearsal.pi.run("ls", *SECRET_FILES)
    sentinels = secret_values(rehearsal.operator)
    assert len(finished.output) > 10_000, "-vvv printed hardly anything"
    assert leaks.in_texts(sentinels, {"the output": finished.output}) == []
    assert leaks.in_readable_files(sentinels, rehearsal.pi) == []


def test_planted_secrets_are_found(bookworm: Drill) -> None:
    rehearsal = bookworm.rehearsal
    pi = rehearsal.pi
    name, value = next(iter(secret_values(rehearsal.operator).items()))
    sentinel = {name: value}
    pi.run("sh", "-c", "umask 022; cat > /opt/planted", input=value.encode())
    assert leaks.in_readable_files(sentinel, pi) == [f"{name} is in the world-readable /opt/planted"]
    pi.run("rm", "/opt/planted")
    pi.run("systemd-cat", "cat", input=value.encode())
    assert leaks.in_journal(sentinel, pi) == [f"{name} is in the Pi's journal"]
    assert leaks.in_texts(sentinel, {"a log": f"x{value}y"}) == [f"{name} is in a log"]
    if bookworm.trace is not None:
        with ExecTrace() as trace:
            pi.run("true", f"--password={value}")
        assert any("argument of true" in found for found in leaks.in_arguments(sentinel, trace))
