"""What the deploys have a shell do for packages and small files, done by a real one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploys.operations import files_at_once
from deploys.operations.packages import install

_APT = """
echo "apt-get $*" >> "$LOG"
test -e "$LOG.finished"
"""
_DPKG = """
echo "dpkg $*" >> "$LOG"
test -z "$DPKG_FAILS" && touch "$LOG.finished"
"""


def run(tmp_path: Path, script: str, **environment: str) -> tuple[int, list[str]]:
    for name, text in (("apt-get", _APT), ("dpkg", _DPKG)):
        (tmp_path / name).write_text(f"#!/bin/sh{text}")
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log), **environment},
        check=False,
    )
    return done.returncode, [line.split()[0] for line in log.read_text().splitlines()]


def test_what_dpkg_was_cut_off_in_is_finished_and_then_installed(tmp_path: Path) -> None:
    assert run(tmp_path, install("git")) == (0, ["apt-get", "dpkg", "apt-get"])
    assert "install --no-install-recommends git" in (tmp_path / "log").read_text()


def test_where_apt_can_dpkg_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log.finished").touch()
    assert run(tmp_path, install("git")) == (0, ["apt-get"])


@pytest.mark.parametrize("first", ["", "set -e; "])
def test_what_cannot_be_installed_is_a_failure(tmp_path: Path, first: str) -> None:
    code, called = run(tmp_path, f"{first}{install('git')}", DPKG_FAILS="yes")
    assert code != 0
    assert called[:2] == ["apt-get", "dpkg"]


def test_many_files_at_once(tmp_path: Path) -> None:
    contents = {"a.service": "one 'quoted' %s \\n $HOME\nline\n", "b@.service": "", "c.timer": "no newline"}
    subprocess.run(["sh", "-c", files_at_once.script(str(tmp_path), contents)], check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == contents
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_of_many_files_one_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.service.new").mkdir()
    contents = {"a.service": "one", "b.service": "two"}
    done = subprocess.run(["sh", "-c", files_at_once.script(str(tmp_path), contents)], check=False)
    assert done.returncode != 0
    assert not (tmp_path / "b.service").exists()
