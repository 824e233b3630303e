"""One suite for every store: what the rest of the agent may rely on, whatever a store is made of.

Drive is the real client library against the lab's emulator, in both modes that can store files.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.errors import StoreConflict, StoreDamaged, StoreError, StoreNotFound
from loomio_backup.stores import Store, StoredObject
from loomio_backup.stores.local import LocalFolder
from tests.lab.drive import DriveEmulator, LabDrive

from .stores_bench import DriveBench, digests_of, sample

ODD_NAMES = [
    "loomio_backup_20261123_020000.dump.zst.age",
    "RECOVERY.md",
    "with space",
    "it's 'quoted' \\ and \"more\"",
    "percent %2F & plus + hash # question ?",
    "Ελλάδα 中文 العربية 🎉",
    "name = 'x' or trashed = true",
    "x" * 200,
]
REFUSED_NAMES = ["", ".", "..", ".hidden", "a/b", "../up", "line\nbreak", "nul\0", "x" * 201]


@pytest.fixture(params=["local", "drive-user", "drive-service-account"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield LocalFolder(tmp_path / "disk" / "backups")
        return
    with DriveEmulator(tmp_path / "drive") as emulator:
        bench = DriveBench(emulator, LabDrive(emulator.url))
        bench.lab.post("state", {"page_limit": 3})
        if request.param == "drive-user":
            yield bench.user_store()
        else:
            secret = bench.lab.register_service_account()
            drive_id = bench.lab.register_shared_drive("Group", {secret["client_email"]: "organizer"})
            yield bench.store(secret, shared_drive_id=drive_id)


def _fetch(store: Store, what: str | StoredObject, tmp_path: Path) -> bytes:
    target = tmp_path / "fetched"
    store.get(what, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".fetched*")) == []
    return target.read_bytes()


def test_empty_store_holds_nothing(store: Store) -> None:
    assert list(store.list()) == []
    assert store.stat("nothing") is None


@pytest.mark.parametrize("size", [0, 1, 262_144, 4 * 1024 * 1024, 20_000_000])
def test_what_is_put_can_be_got(store: Store, tmp_path: Path, size: int) -> None:
    made = sample(tmp_path, size)
    seen: list[int] = []
    stored = store.put("object", made.path, made.digests, progress=seen.append)
    assert (stored.name, stored.size) == ("object", size)
    assert stored.created.tzinfo is not None
    assert seen == sorted(seen)
    assert not size or seen[-1] == size
    assert _fetch(store, "object", tmp_path) == made.content
    assert _fetch(store, stored, tmp_path) == made.content


def test_progress_of_a_download(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 5_000_000)
    store.put("object", made.path, made.digests)
    seen: list[int] = []
    store.get("object", tmp_path / "fetched", seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 5_000_000


def test_list_and_stat_agree_over_many_pages(store: Store, tmp_path: Path) -> None:
    for number in range(10):
        made = sample(tmp_path, 100 + number, number)
        store.put(f"object-{number}", made.path, made.digests)
    listed = {stored.name: stored for stored in store.list()}
    assert {name: stored.size for name, stored in listed.items()} == {
        f"object-{number}": 100 + number for number in range(10)
    }
    assert all(store.stat(name) == stored for name, stored in listed.items())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(store: Store, tmp_path: Path, name: str) -> None:
    made, decoy = sample(tmp_path, 10, 1), sample(tmp_path, 10, 2)
    store.put("decoy", decoy.path, decoy.digests)
    store.put(name, made.path, made.digests)
    assert sorted(stored.name for stored in store.list()) == sorted(["decoy", name])
    assert _fetch(store, name, tmp_path) == made.content


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_refused_names(store: Store, tmp_path: Path, name: str) -> None:
    made = sample(tmp_path, 10)
    with pytest.raises(StoreError):
        store.put(name, made.path, made.digests)
    assert list(store.list()) == []


def test_names_that_differ_only_in_case_are_two_objects(store: Store, tmp_path: Path) -> None:
    upper, lower = sample(tmp_path, 10, 1), sample(tmp_path, 10, 2)
    store.put("OBJECT", upper.path, upper.digests)
    store.put("object", lower.path, lower.digests)
    assert _fetch(store, "OBJECT", tmp_path) == upper.content
    assert _fetch(store, "object", tmp_path) == lower.content


def test_a_repeated_put_changes_nothing(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 1000)
    reserved = store.reserve_id()
    first = store.put("object", made.path, made.digests, object_id=reserved)
    again = store.put("object", made.path, made.digests, object_id=reserved)
    elsewhere = store.put("object", made.path, made.digests)
    assert first.id == again.id == elsewhere.id == reserved
    assert [stored.name for stored in store.list()] == ["object"]


def test_another_content_under_the_same_name_is_refused(store: Store, tmp_path: Path) -> None:
    first, second = sample(tmp_path, 1000, 1), sample(tmp_path, 1000, 2)
    store.put("object", first.path, first.digests)
    with pytest.raises(StoreConflict, match="left as it is"):
        store.put("object", second.path, second.digests)
    assert _fetch(store, "object", tmp_path) == first.content
    assert len(list(store.list())) == 1


def test_a_copy_that_differs_leaves_no_object(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 1000)
    meant = digests_of(b"x" * 1000)
    with pytest.raises(StoreDamaged, match="Run the backup again"):
        store.put("object", made.path, meant)
    assert list(store.list()) == []
    assert store.stat("object") is None
    store.put("object", made.path, made.digests)


def test_a_source_of_another_size_is_refused(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 1000)
    with pytest.raises(StoreError, match="1000 bytes, but 999 were written"):
        store.put("object", made.path, digests_of(b"x" * 999))
    with pytest.raises(StoreError, match="cannot be read"):
        store.put("object", tmp_path / "absent", made.digests)
    assert list(store.list()) == []


def test_delete(store: Store, tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = sample(tmp_path, 1000)
        store.put(name, made.path, made.digests)
    one = store.stat("one")
    assert one is not None
    store.delete(one)
    store.delete(one)
    assert [stored.name for stored in store.list()] == ["two"]
    with pytest.raises(StoreNotFound):
        store.get("one", tmp_path / "fetched")
    with pytest.raises(StoreNotFound):
        store.get(one, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_deleted_name_can_be_used_again(store: Store, tmp_path: Path) -> None:
    first, second = sample(tmp_path, 10, 1), sample(tmp_path, 10, 2)
    store.delete(store.put("object", first.path, first.digests))
    store.put("object", second.path, second.digests)
    assert _fetch(store, "object", tmp_path) == second.content


def test_replace(store: Store, tmp_path: Path) -> None:
    for seed in (1, 1, 2):
        made = sample(tmp_path, 1000 * seed, seed)
        stored = store.replace("RECOVERY.md", made.path, made.digests)
        assert stored.size == len(made.content)
        assert [found.name for found in store.list()] == ["RECOVERY.md"]
        assert _fetch(store, "RECOVERY.md", tmp_path) == made.content


def test_get_replaces_what_lies_at_the_destination(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 1000)
    store.put("object", made.path, made.digests)
    (tmp_path / "fetched").write_bytes(b"something else")
    assert _fetch(store, "object", tmp_path) == made.content
