"""One suite for every store: what the rest of the agent may rely on, whatever a store is made of.

Drive is the real client library against the lab's emulator, in every mode that can store files, among them
the one that cannot delete: a contributor of a shared drive, append-only.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup.errors import StoreAppendOnly, StoreConflict, StoreDamaged, StoreError, StoreNotFound
from loomio_backup.stores import Store, StoredObject
from loomio_backup.stores.local import LocalFolder
from loomio_backup.stores.probe import NAME as PROBE
from tests.lab.drive import DriveEmulator, LabDrive

from .stores_bench import DriveBench, FileMemory, digests_of, sample

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


@pytest.fixture(params=["local", "drive-user", "drive-service-account", "drive-contributor"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield LocalFolder(tmp_path / "disk" / "backups")
        return
    with DriveEmulator(tmp_path / "drive") as emulator:
        bench = DriveBench(emulator, LabDrive(emulator.url))
        bench.lab.post("state", {"page_limit": 3})
        if request.param == "drive-user":
            yield bench.user_store()
        elif request.param == "drive-service-account":
            yield bench.shared_drive_store("organizer")
        else:
            yield bench.shared_drive_store("writer", append_only=True)


def _fetch(store: Store, what: str | StoredObject, tmp_path: Path) -> bytes:
    target = tmp_path / "fetched"
    store.get(what, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".fetched*")) == []
    return target.read_bytes()


def test_empty_store_holds_nothing(store: Store) -> None:
    assert list(store.list()) == []
    assert store.stat("nothing") is None


@pytest.mark.parametrize("size", [0, 1, 262_144, 4 * 1024 * 1024, 9_000_000])
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


def test_odd_names(store: Store, tmp_path: Path) -> None:
    for seed, name in enumerate(ODD_NAMES):
        made = sample(tmp_path, 10, seed)
        store.put(name, made.path, made.digests)
    assert sorted(stored.name for stored in store.list()) == sorted(ODD_NAMES)
    for seed, name in enumerate(ODD_NAMES):
        assert _fetch(store, name, tmp_path) == sample(tmp_path, 10, seed).content


def test_refused_names(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 10)
    for name in REFUSED_NAMES:
        with pytest.raises(StoreError, match="cannot be the name of an object"):
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
    with pytest.raises(StoreDamaged, match=r"[Rr]un the backup again"):
        store.put("object", made.path, meant)
    if store.append_only:
        assert [stored.name for stored in store.list()] == ["object"]
        return
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
    if store.append_only:
        with pytest.raises(StoreAppendOnly, match=r"one was not deleted.*Nothing was changed.*Prune from"):
            store.delete(one)
        assert {stored.name for stored in store.list()} == {"one", "two"}
        return
    store.delete(one)
    store.delete(one)
    assert [stored.name for stored in store.list()] == ["two"]
    with pytest.raises(StoreNotFound):
        store.get("one", tmp_path / "fetched")
    with pytest.raises(StoreNotFound):
        store.get(one, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_deleted_name_can_be_used_again(store: Store, tmp_path: Path) -> None:
    if store.append_only:
        return
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


def test_a_place_that_nothing_can_be_fetched_to(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 1000)
    store.put("object", made.path, made.digests)
    with pytest.raises(StoreError, match=r"object could not be .*fetched \(No such file or directory\)"):
        store.get("object", tmp_path / "absent" / "fetched")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"object could not be .*Is a directory"):
        store.get("object", tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_get_replaces_what_lies_at_the_destination(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 1000)
    store.put("object", made.path, made.digests)
    (tmp_path / "fetched").write_bytes(b"something else")
    assert _fetch(store, "object", tmp_path) == made.content


def test_stat_by_id(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 1000)
    stored = store.put("object", made.path, made.digests, object_id=store.reserve_id())
    assert store.stat("object", stored.id) == stored
    assert store.stat("other", stored.id) is None
    other = store.reserve_id()
    assert other is None or store.stat("object", other) is None
    if not store.append_only:
        store.delete(stored)
        assert store.stat("object", stored.id) is None


def test_an_upload_is_remembered_only_while_it_lasts(store: Store, tmp_path: Path) -> None:
    made, memory = sample(tmp_path, 1000), FileMemory(tmp_path / "memory")
    for _ in range(2):
        store.put("object", made.path, made.digests, object_id=store.reserve_id(), memory=memory)
        assert memory.recall() is None


def test_the_clock_of_a_store(store: Store, tmp_path: Path) -> None:
    made = sample(tmp_path, 10)
    before = store.now()
    stored = store.put("object", made.path, made.digests)
    after = store.now()
    second = timedelta(seconds=1)  # the Date header has no fractions
    assert before.tzinfo is not None
    assert before - second <= stored.created <= after + second
    assert abs(datetime.now(UTC) - after) < timedelta(seconds=10)


def test_space_adds_up(store: Store, tmp_path: Path) -> None:
    for _ in range(2):
        space = store.space()
        assert space.trash == 0
        if space.total is not None and space.free is not None and space.used is not None:
            assert space.free + space.used <= space.total
        made = sample(tmp_path, 10)
        store.put("object", made.path, made.digests)


def test_a_file_can_be_read_in_place_or_has_to_be_fetched(store: Store, tmp_path: Path) -> None:
    assert store.source_path("object") is None
    made = sample(tmp_path, 1000)
    store.put("object", made.path, made.digests)
    place = store.source_path("object")
    assert (place is not None) == (store.kind == "local")
    assert place is None or place.read_bytes() == made.content
    assert store.source_path("nothing") is None


def test_clones_work_at_the_same_time(store: Store, tmp_path: Path) -> None:
    """Even where the very first of them has to make the folder."""
    clones = [store.clone() for _ in range(4)]

    def work(number: int) -> None:
        clone = clones[number]
        for turn in range(3):
            made = sample(tmp_path, 300_000 + turn, number)
            stored = clone.put(
                f"object-{number}-{turn}", made.path, made.digests, object_id=clone.reserve_id()
            )
            clone.get(stored, tmp_path / f"fetched-{number}")
            assert (tmp_path / f"fetched-{number}").read_bytes() == made.content

    with ThreadPoolExecutor(len(clones)) as pool:
        for done in [pool.submit(work, number) for number in range(len(clones))]:
            done.result()
    expected = sorted(f"object-{number}-{turn}" for number in range(4) for turn in range(3))
    for one in (store, *clones):
        assert sorted(stored.name for stored in one.list()) == expected


def test_a_probe_really_stores_and_leaves_as_little_as_it_may(store: Store) -> None:
    for _ in range(3):
        store.probe()
    left = [stored.name for stored in store.list()]
    assert left == ([PROBE] if store.append_only else [])


def test_access_can_be_verified_without_storing(store: Store) -> None:
    store.verify_access()
    store.verify_access()
    assert list(store.list()) == []
