"""Memory does not grow with the data: run and restore of 300 MB and 300 MB stay below 150 MB, all told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from loomio_backup.config import DriveStore

from .agent_memory import peak_pss
from .agent_site import DATABASE, USER, Site, site
from .data import Spec, write_sql, write_tar
from .drive import DriveEmulator, LabDrive

pytestmark = pytest.mark.lab

LIMIT = 150_000_000
SCHEMA = Path(__file__).parent / "images" / "loomio" / "standin" / "schema.sql"


def _fill(pi: Site, spec: Spec) -> None:
    pi.sql(SCHEMA.read_text())
    psql = ["docker", "exec", "-i", pi.container, "psql", "-X", "-q", "-o", "/dev/null", "-U", USER, DATABASE]
    tar = ["tar", "-x", "-p", "--no-same-owner", "-C", str(pi.root)]
    for command, write in ((psql, write_sql), (tar, write_tar)):
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            write(spec, process.stdin)
            process.stdin.close()
            assert process.wait() == 0


def _watched(pi: Site, *arguments: str) -> None:
    process = pi.start_agent(*arguments)
    peak, holders = peak_pss(process)
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    assert process.returncode == 0, output
    print(f"{arguments[0]}: {peak / 1e6:.0f} MB", holders)
    assert 0 < peak <= LIMIT, (peak, holders)


def test_run_and_restore_of_300_mb_and_300_mb(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        options = {
            "drive": DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            "drive_secret": json.dumps(lab.register_user()),
        }
        with site(tmp_path / "pi", "agent-mem", local=tmp_path / "disk", **options) as pi:
            _fill(pi, Spec(seed=9, db_mb=300, files_mb=300))
            _watched(pi, "run")
            [backup] = json.loads(pi.must("list", "--store", "drive", "--json"))
            assert backup["rows"] > 500_000
            assert backup["stored_bytes"] > 250_000_000
            with site(tmp_path / "fresh", "agent-mem2", keys=pi, **options) as fresh:
                _watched(fresh, "restore", "--newest", "--store", "drive", "--unattended")


def test_many_small_files_take_no_more(tmp_path: Path) -> None:
    """Fifty thousand files: what is known about each must not be kept in memory."""
    with site(tmp_path / "pi", "agent-many", local=tmp_path / "disk") as pi:
        for number in range(50):
            directory = pi.uploads / f"{number:02}"
            directory.mkdir()
            for file in range(1000):
                (directory / f"{file:03} of many").write_bytes(b"%d" % file)
        _watched(pi, "run")
        with site(tmp_path / "fresh", "agent-many2", local=tmp_path / "disk", keys=pi) as fresh:
            _watched(fresh, "restore", "--newest", "--unattended")
            assert sum(1 for path in fresh.uploads.rglob("* of many")) == 50_000
