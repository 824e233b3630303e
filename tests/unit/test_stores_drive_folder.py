"""The Drive folder over time: its room, its trash, its clock, and what else of the same name is there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.errors import (
    StoreConflict,
    StoreDamaged,
    StoreError,
    StoreNotFound,
    StoreUnavailable,
)
from loomio_backup.stores.base import Space
from loomio_backup.stores.drive import DriveFolder
from tests.lab.drive import DriveEmulator, LabDrive
from tests.lab.drive.client import DRIVE

from .stores_bench import DriveBench, sample

FOLDER = "application/vnd.google-apps.folder"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def store(bench: DriveBench) -> DriveFolder:
    return bench.user_store()


# -- room ----------------------------------------------------------------------------------------------------


def test_room_of_an_account(bench: DriveBench, tmp_path: Path) -> None:
    store = bench.store(bench.lab.register_user(quota=10_000), deletion="trash")
    assert store.space() == Space(total=10_000, used=0, free=10_000, trash=0)
    first, second = sample(tmp_path, 3000, 1), sample(tmp_path, 2000, 2)
    stored = store.put("first", first.path, first.digests)
    store.put("second", second.path, second.digests)
    store.delete(stored)
    assert store.space() == Space(total=10_000, used=5000, free=5000, trash=3000)
    bench.lab.set_quota("group@example.org", 4000)
    assert store.space() == Space(total=4000, used=5000, free=0, trash=3000)


def test_room_without_a_limit(store: DriveFolder, tmp_path: Path) -> None:
    made = sample(tmp_path, 3000)
    store.put("object", made.path, made.digests)
    assert store.space() == Space(total=None, used=3000, free=None, trash=0)


def test_room_of_a_shared_drive_is_unknown(bench: DriveBench) -> None:
    assert bench.shared_drive_store("writer").space() == Space(None, None, None)
    secret = bench.lab.register_service_account("other@project.iam.gserviceaccount.com")
    drive_id = bench.lab.register_shared_drive("Other", {secret["client_email"]: "writer"})
    assert bench.store(secret, folder_id=drive_id).space() == Space(None, None, None)


# -- trash ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("deletion", "trashed"), [("trash", [True]), ("delete", [])])
def test_deleting_as_the_settings_say(
    bench: DriveBench, tmp_path: Path, deletion: Any, trashed: list[bool]
) -> None:
    store, made = bench.user_store(deletion=deletion), sample(tmp_path, 1000)
    stored = store.put("object", made.path, made.digests)
    store.delete(stored)
    store.delete(stored)
    assert list(store.list()) == []
    assert store.stat("object", stored.id) is None
    assert [file["trashed"] for file in bench.lab.files() if "md5" in file] == trashed


def test_not_found_is_not_gone(bench: DriveBench, store: DriveFolder, tmp_path: Path) -> None:
    """Drive says 404 for "not for you" as well; a backup must not lose its manifest on paper only."""
    made = sample(tmp_path, 1000)
    stored = store.put("object", made.path, made.digests)
    bench.lab.fault("status", status=404, reason="notFound", times=None, match={"operation": "files.delete"})
    with pytest.raises(StoreError, match="deleting object in Drive failed"):
        store.delete(stored)
    assert store.stat("object", stored.id) == stored


def test_a_damaged_upload_is_not_kept_in_the_trash(bench: DriveBench, tmp_path: Path) -> None:
    store, made = bench.user_store(deletion="trash"), sample(tmp_path, 1000)
    bench.lab.fault("corrupt", match={"upload": True})
    store.put("object", made.path, made.digests)
    assert bench.names() == ["object"]


# -- clock ---------------------------------------------------------------------------------------------------


def test_the_clock_is_googles(store: DriveFolder) -> None:
    assert abs(datetime.now(UTC) - store.now()) < timedelta(seconds=5)


def test_a_login_page_does_not_tell_the_time(bench: DriveBench, store: DriveFolder) -> None:
    """Its Date header would be as good as any; but whose clock is that?"""
    for kind in ("html", "empty-json", "wrong-types"):
        bench.lab.fault(kind, times=None, match={"operation": "about.get"})
        with pytest.raises(StoreUnavailable, match="not Google Drive"):
            store.now()
        with pytest.raises(StoreUnavailable, match="not Google Drive"):
            store.space()
        bench.lab.clear_faults()


# -- what nothing may be deleted from ------------------------------------------------------------------------


def test_a_damaged_upload_of_a_contributor_is_put_right_in_place(bench: DriveBench, tmp_path: Path) -> None:
    store, made = bench.shared_drive_store("writer", append_only=True), sample(tmp_path, 1000)
    bench.lab.fault("corrupt", match={"upload": True})
    stored = store.put("object", made.path, made.digests, object_id=store.reserve_id())
    assert stored.matches(made.digests)
    assert [found.id for found in store.list()] == [stored.id]
    store.get(stored, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == made.content


def test_one_that_stays_damaged_is_told(bench: DriveBench, tmp_path: Path) -> None:
    store, made = bench.shared_drive_store("writer", append_only=True), sample(tmp_path, 1000)
    bench.lab.fault("corrupt", times=None, match={"upload": True})
    reserved = store.reserve_id()
    with pytest.raises(StoreDamaged, match="Delete that file in Drive"):
        store.put("object", made.path, made.digests, object_id=reserved)
    found = next(store.list())
    assert not found.matches(made.digests)
    bench.lab.clear_faults()
    with pytest.raises(StoreConflict):
        store.put("object", made.path, made.digests, object_id=store.reserve_id())
    assert store.put("object", made.path, made.digests, object_id=reserved).matches(made.digests)


def test_append_only_holds_where_the_account_could_delete(bench: DriveBench, tmp_path: Path) -> None:
    """It is the program that never deletes: neither requests to delete nor to trash leave the Pi."""
    store, made = bench.user_store(append_only=True), sample(tmp_path, 1000)
    bench.lab.fault("corrupt", match={"upload": True})
    store.put("object", made.path, made.digests)
    store.replace("RECOVERY.md", made.path, made.digests)
    other = sample(tmp_path, 10, 1)
    store.replace("RECOVERY.md", other.path, other.digests)
    store.probe()
    store.probe()
    assert sorted(bench.names()) == ["RECOVERY.md", "loomio_backup_probe", "object"]
    assert not {"files.delete", "files.update"} & {entry["operation"] for entry in bench.lab.log()}


# -- names that are there twice ------------------------------------------------------------------------------


def _make_folder(store: DriveFolder, name: str) -> None:
    drive = store._drive
    drive.call("making a folder", drive.files.create(body={"name": name, "mimeType": FOLDER}), bool)


def test_a_folder_made_twice_is_read_as_one(bench: DriveBench, tmp_path: Path) -> None:
    """Lists lag: two processes, shortly after each other, may each have made the folder."""
    secret, made = bench.lab.register_user(), sample(tmp_path, 1000)
    bench.lab.fault("hide", seconds=3600, match={"operation": "files.create"})
    first, second = bench.store(secret), bench.store(secret)
    one = first.put("one", made.path, made.digests)
    two = second.put("two", made.path, made.digests)
    folders = [file for file in bench.lab.files() if "md5" not in file]
    assert len(folders) == 2
    bench.lab.let_lists_catch_up()
    third = bench.store(secret)
    assert sorted(stored.name for stored in third.list()) == ["one", "two"]
    assert (third.stat("one"), third.stat("two")) == (one, two)
    assert third.stat("one", one.id) == one
    three = third.put("three", made.path, made.digests)
    parents = {file["name"]: file["parent"] for file in bench.lab.files() if "md5" in file}
    assert parents["three"] == parents["one"]
    for stored in (one, two, three):
        third.delete(stored)
    assert bench.names() == []


def test_a_file_that_was_moved_or_renamed_is_not_there(bench: DriveBench, tmp_path: Path) -> None:
    store, made = bench.store(bench.lab.register_user(scopes=[DRIVE])), sample(tmp_path, 1000)
    moved = store.put("moved", made.path, made.digests)
    renamed = store.put("renamed", made.path, made.digests)
    _make_folder(store, "elsewhere")
    folders = {file["name"]: file["id"] for file in bench.lab.files() if "md5" not in file}
    files, parents = store._drive.files, {"addParents": folders["elsewhere"]}
    parents["removeParents"] = folders["Loomio backups"]
    store._drive.call("moving", files.update(fileId=moved.id, body={}, **parents), bool)
    store._drive.call("renaming", files.update(fileId=renamed.id, body={"name": "other"}), bool)
    assert store.stat("moved", moved.id) is None
    assert store.stat("renamed", renamed.id) is None
    assert [stored.name for stored in store.list()] == ["other"]


def test_two_of_one_name_are_two_objects(bench: DriveBench, tmp_path: Path) -> None:
    secret, one, two = bench.lab.register_user(), sample(tmp_path, 10, 1), sample(tmp_path, 10, 2)
    store = bench.store(secret)
    bench.lab.fault("hide", seconds=3600, match={"operation": "upload.start"})
    first = store.put("object", one.path, one.digests)
    second = store.put("object", two.path, two.digests)
    assert list(store.list()) == [second]
    bench.lab.let_lists_catch_up()
    assert {stored.id: stored for stored in store.list()} == {first.id: first, second.id: second}
    assert store.stat("object") == first
    store.delete(second)
    assert store.stat("object", first.id) == first
    assert store.stat("object", second.id) is None


def test_what_moves_from_page_to_page_is_one_object(bench: DriveBench, tmp_path: Path) -> None:
    """Taken for two of one name, the "second" would be cleared up: the only one there is."""
    secret, made = bench.lab.register_user(), sample(tmp_path, 10)
    store = bench.store(secret)
    bench.lab.post("state", {"page_limit": 2})
    for number in range(5):
        store.put(f"object-{number}", made.path, made.digests)
    listing = store.list()
    seen = [next(listing)]
    bench.store(secret).put("newer", made.path, made.digests)
    seen += listing
    assert len({stored.id for stored in seen}) == len(seen)
    assert {f"object-{number}" for number in range(5)} <= {stored.name for stored in seen}


def test_what_a_list_still_shows_may_be_gone(bench: DriveBench, store: DriveFolder, tmp_path: Path) -> None:
    """A pack that retention removed is put again: an old list must not pass for it."""
    made, other = sample(tmp_path, 10, 1), sample(tmp_path, 10, 2)
    for name in ("object", "RECOVERY.md"):
        store.delete(store.put(name, made.path, made.digests))
    bench.lab.fault("stale", times=None)
    assert {stored.name for stored in store.list()} >= {"RECOVERY.md"}
    assert store.stat("RECOVERY.md") is None
    store.put("object", made.path, made.digests)
    store.replace("RECOVERY.md", other.path, other.digests)
    assert bench.names() == ["RECOVERY.md", "object"]
    ghost = next(
        stored for stored in store.list() if stored.id not in {file["id"] for file in bench.lab.files()}
    )
    store.delete(ghost)
    with pytest.raises(StoreNotFound, match="no longer in the Drive folder"):
        store.get(ghost, tmp_path / "fetched")


def test_what_is_replaced_may_turn_up_late_or_twice(
    bench: DriveBench, store: DriveFolder, tmp_path: Path
) -> None:
    one, two, three = (sample(tmp_path, 10, seed) for seed in (1, 2, 3))
    bench.lab.fault("hide", seconds=3600, times=None, match={"upload": True})
    first = store.replace("RECOVERY.md", one.path, one.digests)
    bench.lab.let_lists_catch_up()
    bench.lab.fault("stale", match={"operation": "files.list"})
    assert store.replace("RECOVERY.md", two.path, two.digests).id == first.id
    bench.lab.fault("stale", times=2, match={"operation": "files.list"})
    store.replace("RECOVERY.md", one.path, one.digests)
    bench.lab.let_lists_catch_up()
    stored = store.replace("RECOVERY.md", three.path, three.digests)
    found = list(store.list())
    assert len(found) == 2
    assert stored in found
    assert all(each.matches(three.digests) for each in found)


def test_a_replacement_that_arrives_damaged_is_sent_again(
    bench: DriveBench, store: DriveFolder, tmp_path: Path
) -> None:
    made, other = sample(tmp_path, 10, 1), sample(tmp_path, 10, 2)
    store.put("RECOVERY.md", made.path, made.digests)
    bench.lab.fault("corrupt", match={"upload": True})
    assert store.replace("RECOVERY.md", other.path, other.digests).matches(other.digests)
    bench.lab.fault("corrupt", times=None, match={"upload": True})
    with pytest.raises(StoreDamaged, match="previous version for 30 days"):
        store.replace("RECOVERY.md", made.path, made.digests)


def test_nothing_is_put_beside_another_content(bench: DriveBench, store: DriveFolder, tmp_path: Path) -> None:
    """Neither beside what is somebody else's, nor beside that and what is ours."""
    one, two = sample(tmp_path, 10, 1), sample(tmp_path, 10, 2)
    other = store.put("object", one.path, one.digests)
    with pytest.raises(StoreConflict, match="Move that file out of the folder"):
        store.put("object", two.path, two.digests, object_id=store.reserve_id())
    assert list(store.list()) == [other]
