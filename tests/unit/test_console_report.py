"""`loomio-pi report`: the agent over there makes the page, and it lies here."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from deploys.steps.paths import AGENT_COMMAND
from inventories.new_secrets import new_text
from tests.unit import operator_desk
from tests.unit.operator_desk import Desk

from .agent_backups import Shelf, shelf
from .test_console_pull_ssh import PASSWORD, FarEnd

_AGENT = """#!/bin/sh
echo "agent $*" >> {log}
[ -e {broken} ] && {{ cat {broken}; exit 0; }}
exec {python} -m loomio_backup --config {config} "$@"
"""


@pytest.fixture
def pi(tmp_path: Path) -> Shelf:
    made = shelf(tmp_path)
    made.backup()
    return made


@pytest.fixture
def far(tmp_path: Path, pi: Shelf, monkeypatch: pytest.MonkeyPatch) -> FarEnd:
    """The Pi's sudo finds the agent, the real one, where it is on this machine."""
    (tmp_path / "far").mkdir()
    far = FarEnd(tmp_path / "far")
    far.password.write_text(PASSWORD)
    programs = tmp_path / "far" / "bin"
    agent = programs / "agent"
    words = {
        "log": far.log,
        "broken": tmp_path / "broken",
        "python": sys.executable,
        "config": pi.root / "config.yml",
    }
    agent.write_text(_AGENT.format(**{key: shlex.quote(str(value)) for key, value in words.items()}))
    agent.chmod(0o755)
    sudo = programs / "sudo"
    replaced = f'[ "$1" = {AGENT_COMMAND} ] && {{ shift; set -- {agent} "$@"; }}\nexec "$@"'
    sudo.write_text(sudo.read_text().replace('exec "$@"', replaced))
    monkeypatch.setenv("PATH", far.path)
    return far


@pytest.fixture
def desk(tmp_path: Path, far: FarEnd) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    desk = Desk(folder, {"PATH": far.path})
    secrets = new_text(["loomio"]).replace("    sudo_password:", f"    sudo_password: {json.dumps(PASSWORD)}")
    desk.prepare(operator_desk.encrypted(secrets))
    return desk


def test_the_page_comes_from_the_pi(desk: Desk, pi: Shelf, far: FarEnd, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for _ in range(2):
        done = desk.type("loomio-pi", "report", "--output", str(page))
        assert (done.code, done.stderr) == (0, "")
        assert page.as_uri() in done.stdout
        assert page.stat().st_mode & 0o777 == 0o600
        assert pi.made[0].name in page.read_text()
    assert "agent report --output -" in far.log.read_text()
    assert "sesame" not in far.log.read_text()
    # Nothing stays over there.
    assert not (pi.root / "state" / "report.html").exists()


def test_what_is_no_report_is_not_kept(desk: Desk, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    (tmp_path / "broken").write_text("<html>half of a pa")
    done = desk.type("loomio-pi", "report", "--output", str(page))
    assert done.code == 1
    assert "is no report. Nothing was written" in done.stderr
    assert not page.exists()


def test_nothing_else_is_written_over_and_no_other_pi_is_made_up(desk: Desk, far: FarEnd) -> None:
    done = desk.type("loomio-pi", "report", "--output", str(desk.folder / "pi.yml"))
    assert done.code == 1
    assert "It was left as it is" in done.stderr
    done = desk.type("loomio-pi", "report", "--host", "other")
    assert done.code == 1
    assert "pi.yml (hosts: loomio). Nothing was done." in done.stderr
    assert not far.log.exists()


def test_what_the_agent_says_is_told(desk: Desk, pi: Shelf, tmp_path: Path) -> None:
    (pi.root / "config.yml").write_text("host: [\n")
    done = desk.type("loomio-pi", "report", "--output", str(tmp_path / "page.html"))
    assert done.code == 1
    assert "making the report failed: " in done.stderr
    assert "Nothing was changed on the Pi" in done.stderr
