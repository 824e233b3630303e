"""Disks with little room: the other store goes on, nothing is half made, nothing live is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import DriveStore
from tests.unit.test_agent_older_sql import WHOLE

from .agent_disk import small_disk
from .agent_site import Site, site
from .docker import docker
from .drive import DriveEmulator, LabDrive
from .test_agent_faults import _fails, _manifests
from .test_agent_older import PASSPHRASE, sealed

pytestmark = pytest.mark.lab


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[dict[str, object]]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        yield {
            "drive": DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            "drive_secret": json.dumps(lab.register_user()),
        }


def test_a_full_disk_of_the_local_store_does_not_cost_the_one_in_drive(
    tmp_path: Path, drive: dict[str, object]
) -> None:
    with (
        small_disk(tmp_path / "disk", 900_000) as disk,
        site(tmp_path / "pi", "agent-room", local=disk, **drive) as pi,
    ):
        said = _fails(pi, "run")
        assert "complete and safe in drive" in said
        assert "not put into the local store" in said
        assert list(disk.iterdir()) == []
        pi.must("check", "--store", "drive")


def test_a_spool_without_room_fails_before_anything_is_made(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-room2", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        with small_disk(pi.root / "state2", 400_000) as state:
            pi.write_config(pi.config.model_copy(update={"state_directory": state}))
            said = _fails(pi, "run")
        assert "no backup was made: the disk of" in said
        assert len(_manifests(pi)) == 1
        assert pi.helpers() == []


def test_a_restore_that_the_databases_disk_cannot_take_is_refused(tmp_path: Path) -> None:
    project = f"agent-room3-{os.getpid()}"
    with site(tmp_path / "pi", project, local=tmp_path / "disk") as old:
        old.big_table(1_000_000)
        old.must("run")
        new = Site(tmp_path / "fresh", project + "b", local=tmp_path / "disk", keys=old)
        docker(
            *("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=570000k"),
            project,
        )
        try:
            new.start_database(f"--volume={project}:/var/lib/postgresql/data")
            new.sql("CREATE TABLE before (n int)")
            said = _fails(new, "restore", "--newest", "--unattended")
            assert "there is no room to restore" in said
            assert f"volumes/{project}/_data" in said
            assert "Nothing live was changed" in said
            opened = new.run("open")
            assert (opened.code, "there is no room to restore" in opened.err) == (1, True)
            assert "--streaming" not in opened.err
            assert "compared" not in opened.out
            older = tmp_path / "loomio_backup_20240101_000000.sql.enc"
            sealed(older, WHOLE + (b"-" * 999 + b"\n") * 50_000)
            (new.root / "credentials" / "legacy_passphrase").write_text(PASSPHRASE + "\n")
            said = _fails(new, "restore", "--unattended", "--older", str(older))
            assert f"there is no room to restore {older.name}" in said
            assert new.sql("SELECT count(*) FROM before") == "0"
            assert new.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'loomio_%'") == "1"
        finally:
            new.stop()
            docker("volume", "rm", "-f", project)
