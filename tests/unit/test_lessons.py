"""What went wrong for others and has no test elsewhere: docs/lessons.md names these and all the others."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventories.settings import ROOT
from loomio_backup.catalogue.manifest import ObjectEntry
from loomio_backup.command import cli
from loomio_backup.config import dump
from loomio_backup.state import StateDirectory
from tests import handbook
from tests.lab.agent_memory import peak_pss
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_backups import Shelf, shelf

LESSONS = handbook.DOCS / "lessons.md"
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", LESSONS.read_text())


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)), ids=lambda text: str(text).rpartition("/")[2])
def test_the_tests_that_lessons_name_exist(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_lesson_names_a_test_or_says_that_there_is_none() -> None:
    rows = re.findall(r"(?m)^\| (.*) \|$", LESSONS.read_text())
    rows = [row for row in rows if not row.startswith(("---", "what happened"))]
    assert len(rows) > 30
    assert [row for row in rows if "::" not in row and "not yet" not in row.lower()] == []


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Shelf]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        made = shelf(tmp_path, emulator)
        # Long enough to say that it waits for the right time, which a laboratory may never know.
        (tmp_path / "config.yml").write_text(dump(made.config.model_copy(update={"clock_wait_seconds": 1})))
        yield made


# A script took the last line of a log for the name of a backup.


@pytest.mark.parametrize(
    "verb", ["list", "check", "check --read-data", "status", "prune --dry-run", "prune", "show NAME"]
)
def test_programs_get_json_and_nothing_else(pi: Shelf, verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    pi.share("app-data_1.tar.zst.age", b"files " * 100)
    made = pi.backup()
    drive = pi.config.stores.drive
    assert drive is not None
    LabDrive(drive.api_root).fault("status", times=2, status=503)
    arguments = [*verb.replace("NAME", made.name).split(), "--json"]
    capfd.readouterr()
    cli.main(["--config", str(pi.root / "config.yml"), *arguments])
    said = json.loads(capfd.readouterr().out)
    assert made.name in json.dumps(said)


def test_a_line_of_a_log_is_no_backups_name(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    pi.backup()
    line = "backup loomio_backup_20261123_020000 started"
    for verb in (["show"], ["pin"], ["restore", "--unattended", "--backup"]):
        assert cli.main(["--config", str(pi.root / "config.yml"), *verb, line]) == 1
        assert "no" in capsys.readouterr().err


# A lock that a power cut left behind kept a database down.


def test_a_lock_that_a_power_cut_left_behind_locks_nothing(tmp_path: Path) -> None:
    # As they are on the disk when the power fails; the process of that number lives on as somebody else's.
    (tmp_path / "lock").write_text(f"a backup, process {os.getpid()}\n")
    (tmp_path / "running").touch()
    state = StateDirectory(tmp_path)
    assert state.running() is None
    with state.locked("a backup"):
        assert state.running() == f"a backup, process {os.getpid()}"


# Scripts that only worked in one user's home.


def test_no_users_home_is_assumed() -> None:
    assumed = []
    for folder in ("deploys", "files", "inventories", "templates"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".j2", ".yml", ".conf", ".plugin", ""):
                assumed += [path for line in path.read_text().splitlines() if "/home/pi" in line]
    assert assumed == []


# Clearing up ran out of memory on a machine of 4 GB.


def test_clearing_up_a_long_history_takes_little_memory(tmp_path: Path) -> None:
    """100 GB of files in packs, and many backups that all need them."""
    pi = shelf(tmp_path)
    pi.disk.mkdir()
    for number in range(1600):
        name = f"app-data_{hashlib.md5(str(number).encode()).hexdigest()}.tar.zst.age"
        (pi.disk / name).write_bytes(b"pack")
        pi.shared.append(
            ObjectEntry(
                name=name,
                kind="pack",
                plain_size=1,
                plain_sha256="0" * 64,
                stored_size=4,
                stored_sha256=hashlib.sha256(name.encode()).hexdigest(),
                stored_md5="0" * 32,
                key_fingerprints=["0" * 16],
            )
        )
    for _ in range(30):
        pi.backup()
    agent = [sys.executable, "-m", "loomio_backup", "--config", str(tmp_path / "config.yml")]
    process = subprocess.Popen([*agent, "prune", "--dry-run"], stdout=subprocess.PIPE, text=True)
    peak, shares = peak_pss(process)
    assert process.stdout is not None
    with process.stdout:
        assert len(re.findall(r"(?m)^local: \w[\w ]+ loomio_backup_\w+: ", process.stdout.read())) == 30
    assert process.returncode == 0
    assert peak < 150_000_000, shares
