"""Only an object that is missing or altered is damage: a store that fails says nothing about its backups."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from loomio_backup.catalogue.manifest import ObjectEntry
from loomio_backup.errors import DamagedObject, RestoreError
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.stores import Store
from loomio_backup.stores.local import LocalFolder
from tests.lab.agent_disk import small_disk
from tests.lab.docker import wait_until
from tests.lab.drive import DriveEmulator, LabDrive

from .stores_bench import DriveBench, Sample, sample

NAME = "loomio_backup_20261123_020000.dump.zst.age"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def dump(tmp_path: Path) -> Sample:
    return sample(tmp_path, 300_000)


def _entry(dump: Sample) -> ObjectEntry:
    return ObjectEntry.of(NAME, "database", dump.digests, [])


def _fetch(tmp_path: Path, dump: Sample, *stores: Store) -> bytes:
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    try:
        with Fetcher(stores, spool, []).file(_entry(dump)) as path:
            return path.read_bytes()
    finally:
        assert list(spool.iterdir()) == []


def _fails(tmp_path: Path, dump: Sample, *stores: Store) -> str:
    with pytest.raises(RestoreError, match="Nothing live was changed") as caught:
        _fetch(tmp_path, dump, *stores)
    assert "run it again" in str(caught.value)
    return str(caught.value)


def test_an_outage_is_not_damage(tmp_path: Path, bench: DriveBench, dump: Sample) -> None:
    drive = bench.user_store()
    drive.put(NAME, dump.path, dump.digests)
    bench.lab.fault("status", times=None, match={"operation": "download"}, status=503)
    assert "could not be reached" in _fails(tmp_path, dump, drive)
    bench.lab.clear_faults()
    assert _fetch(tmp_path, dump, drive) == dump.content
    bench.emulator.stop()
    assert "could not be reached" in _fails(tmp_path, dump, drive)


def test_a_dead_token_is_not_damage(tmp_path: Path, bench: DriveBench, dump: Sample) -> None:
    secret = bench.lab.register_user()
    bench.store(secret).put(NAME, dump.path, dump.digests)
    bench.lab.revoke(secret)
    assert "authorise again" in _fails(tmp_path, dump, bench.store(secret))


def test_a_full_disk_is_not_damage(tmp_path: Path, bench: DriveBench, dump: Sample) -> None:
    drive = bench.user_store()
    drive.put(NAME, dump.path, dump.digests)
    with (
        small_disk(tmp_path / "spool", 100),
        pytest.raises(RestoreError, match="No space left"),
        Fetcher([drive], tmp_path / "spool", []).file(_entry(dump)),
    ):
        pytest.fail("fetched")


def test_a_folders_object_is_read_where_it_is(tmp_path: Path, dump: Sample) -> None:
    local = LocalFolder(tmp_path / "disk")
    local.put(NAME, dump.path, dump.digests)
    with (
        small_disk(tmp_path / "spool", 100),
        Fetcher([local], tmp_path / "spool", []).file(_entry(dump)) as path,
    ):
        assert path == tmp_path / "disk" / NAME
    assert path.read_bytes() == dump.content


def test_another_store_helps_out_whatever_the_first_one_has(
    tmp_path: Path, bench: DriveBench, dump: Sample
) -> None:
    drive, local = bench.user_store(), LocalFolder(tmp_path / "disk")
    for store in (drive, local):
        store.put(NAME, dump.path, dump.digests)
    bench.lab.fault("status", times=None, match={"operation": "download"}, status=503)
    assert _fetch(tmp_path, dump, drive, local) == dump.content
    # Damaged here, unknown there: an older backup must not be taken, the other copy may be whole.
    (tmp_path / "disk" / NAME).write_bytes(dump.content[:-1])
    assert "could not be reached" in _fails(tmp_path, dump, local, drive)
    bench.lab.clear_faults()
    assert _fetch(tmp_path, dump, local, drive) == dump.content


@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_missing_or_altered_is_damage(tmp_path: Path, dump: Sample, how: str) -> None:
    local = LocalFolder(tmp_path / "disk")
    local.put(NAME, dump.path, dump.digests)
    path = tmp_path / "disk" / NAME
    if how == "gone":
        shutil.rmtree(tmp_path / "disk")
    else:
        path.write_bytes(dump.content[:-1] + (b"" if how == "cut" else bytes([dump.content[-1] ^ 1])))
    with pytest.raises(DamagedObject, match=NAME):
        _fetch(tmp_path, dump, local)


def test_what_is_told_to_end_asks_no_store(tmp_path: Path, dump: Sample) -> None:
    local, stop = LocalFolder(tmp_path / "disk"), threading.Event()
    local.put(NAME, dump.path, dump.digests)
    stop.set()
    with (
        pytest.raises(RestoreError, match="told to end"),
        Fetcher([local], tmp_path, [], stop=stop).file(_entry(dump)),
    ):
        pytest.fail("fetched")


def test_what_is_told_to_end_in_the_middle_of_an_object_does(tmp_path: Path, bench: DriveBench) -> None:
    drive, stop, spool = bench.user_store(), threading.Event(), tmp_path / "spool"
    dump = sample(tmp_path, 4_000_000)
    drive.put(NAME, dump.path, dump.digests)
    bench.lab.fault("slow", times=None, match={"operation": "download"}, bytes_per_second=2_000_000)
    spool.mkdir()

    def tell() -> None:
        wait_until(lambda: any(path.stat().st_size for path in spool.iterdir()), "the first bytes", 30)
        stop.set()

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(tell)
        with (
            pytest.raises(RestoreError, match="told to end"),
            Fetcher([drive], spool, [], stop=stop).file(_entry(dump)),
        ):
            pytest.fail("fetched")
        told.result()
    assert list(spool.iterdir()) == []


def test_what_the_store_has_no_hash_of_is_read_again(
    tmp_path: Path, bench: DriveBench, dump: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = bench.user_store()
    stored = drive.put(NAME, dump.path, dump.digests)
    monkeypatch.setattr(drive, "stat", lambda _: replace(stored, md5=None, sha256=None))
    assert _fetch(tmp_path, dump, drive) == dump.content
    bench.lab.fault("corrupt", times=None, match={"operation": "download"})
    with pytest.raises(DamagedObject, match="is not what the manifest describes"):
        _fetch(tmp_path, dump, drive)
