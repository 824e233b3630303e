"""The probe at setup: it really writes, it is due again only after a change, and failure is loud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import LocalStore, Retention, Stores
from tests.lab.agent_site import Site
from tests.lab.drive import DriveEmulator, LabDrive

from .stores_bench import DriveBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def pi(tmp_path: Path, bench: DriveBench) -> Site:
    secret = json.dumps(bench.lab.register_user())
    return Site(tmp_path / "pi", "p", local=tmp_path / "store", drive=bench.settings(), drive_secret=secret)


def due(pi: Site) -> list[str]:
    return pi.must("probe", "--due").split()


def test_each_store_is_written_once_and_not_due_again(pi: Site, bench: DriveBench) -> None:
    assert due(pi) == ["local", "drive"]
    assert bench.names() == []
    assert "local: a small object was stored" in pi.must("probe", "--store", "local")
    assert due(pi) == ["drive"]
    pi.must("probe")
    assert due(pi) == []
    uploads = [entry for entry in bench.lab.log() if entry["path"].startswith("/upload")]
    downloads = [entry for entry in bench.lab.log() if entry["query"].get("alt") == "media"]
    assert uploads
    assert downloads
    assert bench.names() == []
    assert [path for path in (pi.root.parent / "store").rglob("*") if path.is_file()] == []


def test_due_again_after_a_change_of_what_reaches_the_store(
    pi: Site, bench: DriveBench, tmp_path: Path
) -> None:
    pi.must("probe")
    stores = pi.config.stores
    assert stores.drive is not None
    kept = stores.drive.model_copy(update={"retention": Retention(hourly=1), "upload_limit_bytes": 9999})
    pi.write_config(pi.config.model_copy(update={"stores": Stores(local=stores.local, drive=kept)}))
    assert due(pi) == []
    other = stores.drive.model_copy(update={"folder_name": "Another"})
    local = LocalStore(path=tmp_path / "elsewhere")
    pi.write_config(pi.config.model_copy(update={"stores": Stores(local=local, drive=other)}))
    assert due(pi) == ["local", "drive"]
    pi.must("probe")
    (pi.root / "credentials" / "drive.json").write_text(json.dumps(bench.lab.register_user("x@example.org")))
    assert due(pi) == ["drive"]


def test_a_store_that_does_not_work_is_named_and_stays_due(pi: Site, bench: DriveBench) -> None:
    bench.lab.set_quota("group@example.org", 10)
    outcome = pi.run("probe", "--store", "drive")
    assert outcome.code == 1
    assert outcome.err.startswith("loomio-backup: ")
    assert "Google Drive has no room left" in outcome.err
    assert due(pi) == ["local", "drive"]
    bench.lab.set_quota("group@example.org", None)
    pi.must("probe")
    assert due(pi) == []


def test_a_store_that_is_off_is_a_mistake(tmp_path: Path) -> None:
    pi = Site(tmp_path / "pi", "p", local=tmp_path / "store")
    outcome = pi.run("probe", "--store", "drive")
    assert outcome.code == 1
    assert "there is no drive store on this Pi" in outcome.err
    assert due(pi) == ["local"]
