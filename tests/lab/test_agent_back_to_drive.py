"""A Pi that came back from a copy, without Drive, goes on in Drive when that can be reached again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from loomio_backup.config import DriveStore, Stores

from .agent_site import site
from .drive import DriveEmulator, LabDrive

pytestmark = pytest.mark.lab


def test_drive_gets_the_new_pis_history_and_the_old_one_is_told(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        secret = json.dumps(lab.register_user())
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri)
        here = tmp_path / "here"
        with site(tmp_path / "old", "drive-old", local=here, drive=drive, drive_secret=secret) as old:
            old.fill()
            old.must("run")
            copy = tmp_path / "copy"
            shutil.copytree(here, copy)
            # Drive has one that the copy lacks.
            (old.uploads / "later").write_text("later")
            old.must("run")
            with site(tmp_path / "new", "drive-new", local=copy, keys=old) as new:
                new.must("restore", "--newest", "--unattended")
                (new.root / "credentials" / "drive.json").write_text(secret)
                stores = Stores(local=new.config.stores.local, drive=old.config.stores.drive)
                new.write_config(new.config.model_copy(update={"stores": stores}))
                assert "is complete in: drive, local" in new.must("run")
                newest, *others = json.loads(new.must("list", "--store", "drive", "--json"))
                assert newest["generation"] == 2
                assert {one["generation"] for one in others} == {1}
                new.must("check", "--store", "drive")
            # Should the old Pi wake up once more:
            done = old.run("run")
            assert done.code == 1
            assert "taken over" in done.err
