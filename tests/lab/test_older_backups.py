"""What earlier versions of the program wrote comes back, and the history goes on from there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from . import older_backups
from .agent_site import site
from .older_backups import KEPT, Keys

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("made_by", sorted(path.name for path in KEPT.iterdir()))
def test_a_backup_by_an_earlier_program_comes_back(tmp_path: Path, made_by: str) -> None:
    kept = KEPT / made_by
    keys = Keys(**json.loads((kept / "keys.json").read_text()))
    expected = json.loads((kept / "expected.json").read_text())
    disk = tmp_path / "disk"
    shutil.copytree(kept / "store", disk)
    with site(tmp_path / "pi", f"older-{made_by}", local=disk, keys=keys) as pi:
        [old] = json.loads(pi.must("list", "--json"))
        assert old["name"] in pi.must("show", old["name"])
        version = json.loads(pi.must("show", old["name"], "--json"))["database"]["postgresql_version"]
        # A dump goes into any newer major version: what moving to one relies on.
        assert not made_by.startswith("postgres-") or version.startswith(made_by.removeprefix("postgres-"))
        assert "the newest complete backup" in pi.must("prune", "--dry-run")
        pi.must("restore", "--newest", "--unattended")
        assert older_backups.content(pi) == expected
        pi.must("export", str(tmp_path / "one-file"), "--backup", old["name"])

        # It is the predecessor of what comes now: nothing travels that it has.
        pi.must("run")
        [new, same] = json.loads(pi.must("list", "--json"))
        assert (new["generation"], new["sequence"]) == (old["generation"] + 1, 1)
        assert same["name"] == old["name"]
        packs = {path.name for path in disk.glob("app-data_*")}
        assert packs == {path.name for path in (kept / "store").glob("app-data_*")}
        verdict = json.loads(pi.run("check", "--store", "local", "--read-data", "--json").out)
        assert verdict["problems"] == []
