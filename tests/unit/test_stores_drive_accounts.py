"""The Drive store and accounts: who may store, in which folder, and one clear sentence when it cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.config import Config, Stores
from loomio_backup.errors import (
    StoreAuth,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreNotFound,
)
from loomio_backup.stores import open_stores
from loomio_backup.stores.drive import DriveFolder
from tests.lab.drive import DriveEmulator, LabDrive
from tests.lab.drive.client import DRIVE, DRIVE_FILE

from .stores_bench import DriveBench, Sample, sample

READ_ONLY = "https://www.googleapis.com/auth/drive.readonly"
USER = "group@example.org"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def made(tmp_path: Path) -> Sample:
    return sample(tmp_path, 1000)


def _refused(
    store: DriveFolder, made: Sample, error: type[StoreError], *phrases: str, put: bool = True
) -> None:
    """Storing raises this error, in one paragraph that holds all phrases and no secret."""
    with pytest.raises(error) as caught:
        if put:
            store.put("object", made.path, made.digests)
        else:
            list(store.list())
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    for phrase in phrases:
        assert phrase in text


def _folder(bench: DriveBench) -> dict[str, Any]:
    return next(file for file in bench.lab.files() if "md5" not in file)


# -- OAuth users ---------------------------------------------------------------------------------------------


def test_the_folder_is_made_once_and_found_again(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_user()
    bench.store(secret).put("object", made.path, made.digests)
    assert [stored.name for stored in bench.store(secret).list()] == ["object"]
    assert _folder(bench)["path"] == "My Drive/Loomio backups"
    bench.store(secret, folder_name="Other").verify_access()
    assert list(bench.store(secret, folder_name="Other").list()) == []


def test_reading_makes_no_folder(bench: DriveBench) -> None:
    store = bench.user_store()
    assert list(store.list()) == []
    assert store.stat("object") is None
    assert bench.lab.files() == []


def test_a_dead_refresh_token(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_user()
    bench.lab.revoke(secret)
    _refused(bench.store(secret), made, StoreAuth, "invalid_grant", "untouched", "loomio-pi authorize")


def test_a_token_that_dies_between_two_requests(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_user()
    store = bench.store(secret)
    store.verify_access()
    bench.lab.revoke(secret)
    _refused(store, made, StoreAuth, "invalid_grant")


@pytest.mark.parametrize("key", ["client_id", "client_secret"])
def test_a_wrong_client(bench: DriveBench, made: Sample, key: str) -> None:
    secret = bench.lab.register_user() | {key: "wrong"}
    _refused(bench.store(secret), made, StoreAuth, "invalid_client", "client_secret")


@pytest.mark.parametrize("key", ["client_id", "client_secret", "refresh_token"])
def test_an_incomplete_credential(bench: DriveBench, made: Sample, key: str) -> None:
    secret = bench.lab.register_user()
    del secret[key]
    _refused(bench.store(secret), made, StoreAuth, key, "drive.credentials")


def test_credentials_of_an_unknown_kind(bench: DriveBench, made: Sample) -> None:
    _refused(
        bench.store({"type": "external_account"}), made, StoreAuth, "external_account", "authorized_user"
    )


def test_no_room(bench: DriveBench, tmp_path: Path) -> None:
    store = bench.store(bench.lab.register_user(quota=1500))
    first, second = sample(tmp_path, 1000, 1), sample(tmp_path, 1000, 2)
    stored = store.put("first", first.path, first.digests)
    with pytest.raises(StoreFull, match=r"no room left.*untouched.*Empty the trash"):
        store.put("second", second.path, second.digests)
    assert bench.names() == ["first"]
    store.delete(stored)
    store.put("second", second.path, second.digests)


def test_trash_counts_against_the_room(bench: DriveBench, tmp_path: Path) -> None:
    secret = bench.lab.register_user(quota=1500)
    store = bench.store(secret)
    first, second = sample(tmp_path, 1000, 1), sample(tmp_path, 1000, 2)
    stored = store.put("first", first.path, first.digests)
    drive = store._drive
    drive.call("trashing", drive.files.update(fileId=stored.id, body={"trashed": True}), bool)
    assert list(store.list()) == []
    with pytest.raises(StoreFull):
        store.put("second", second.path, second.digests)
    drive.call("emptying the trash", drive.files.emptyTrash(), bool)
    store.put("second", second.path, second.digests)


def test_a_folder_that_was_deleted(bench: DriveBench, made: Sample) -> None:
    store = bench.user_store()
    store.put("before", made.path, made.digests)
    drive = store._drive
    drive.call("deleting", drive.files.delete(fileId=_folder(bench)["id"]), bool)
    _refused(store, made, StoreNotFound, "does not exist", "Nothing was stored")


def test_a_folder_in_the_trash(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_user()
    store = bench.store(secret)
    store.put("before", made.path, made.digests)
    folder_id = _folder(bench)["id"]
    drive = store._drive
    drive.call("trashing", drive.files.update(fileId=folder_id, body={"trashed": True}), bool)
    for other in (bench.store(secret), bench.store(secret, folder_id=folder_id), store):
        _refused(other, made, StoreNotFound, "is in Drive's trash", "Restore the folder")
    assert len([file for file in bench.lab.files() if "md5" not in file]) == 1


def test_a_folder_id_that_does_not_exist(bench: DriveBench, made: Sample) -> None:
    store = bench.user_store(folder_id="1wrong")
    _refused(store, made, StoreNotFound, "1wrong", "backup.drive.folder_id")
    _refused(store, made, StoreNotFound, "1wrong", put=False)


def test_a_folder_id_that_is_a_file(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_user()
    stored = bench.store(secret).put("object", made.path, made.digests)
    _refused(bench.store(secret, folder_id=stored.id), made, StoreNotFound, "is not a folder")


def test_another_oauth_client_does_not_see_the_backups(bench: DriveBench, made: Sample) -> None:
    first = bench.store(bench.lab.register_user(USER))
    first.put("object", made.path, made.digests)
    other = bench.lab.register_user(USER)
    assert list(bench.store(other).list()) == []
    store = bench.store(other, folder_id=_folder(bench)["id"])
    _refused(store, made, StoreNotFound, "leave folder_id out", put=False)


def test_recovery_with_a_read_only_token(bench: DriveBench, made: Sample, tmp_path: Path) -> None:
    bench.store(bench.lab.register_user(USER)).put("object", made.path, made.digests)
    store = bench.store(bench.lab.register_user(USER, scopes=[READ_ONLY]))
    assert [stored.name for stored in store.list()] == ["object"]
    store.get("object", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == made.content
    other = sample(tmp_path, 10)
    with pytest.raises(StoreAuth, match=r"were not granted.*drive\.file"):
        store.put("other", other.path, other.digests)


def test_an_expired_access_token_is_renewed(bench: DriveBench, made: Sample, tmp_path: Path) -> None:
    store = bench.user_store()
    stored = store.put("object", made.path, made.digests)
    for use in (lambda: list(store.list()), lambda: store.get(stored, tmp_path / "fetched")):
        bench.lab.post("state", {"end_access_tokens": True})
        use()


# -- service accounts ----------------------------------------------------------------------------------------


def test_a_service_account_without_a_place_is_refused(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_service_account()
    ways_out = ("owns no storage", "backup.drive.shared_drive_id", "backup.drive.subject", "OAuth user")
    _refused(bench.store(secret), made, StoreAuth, *ways_out)
    assert bench.lab.log() == []


def test_a_service_account_in_somebodys_folder_is_refused(bench: DriveBench, made: Sample) -> None:
    """The recipe of old: share a folder of one's own Drive with the service account."""
    secret = bench.lab.register_service_account()
    user = bench.store(bench.lab.register_user(USER, scopes=[DRIVE]))
    user.put("object", made.path, made.digests)
    folder_id = _folder(bench)["id"]
    _share(bench, user, folder_id, secret["client_email"])
    store = bench.store(secret, folder_id=folder_id)
    with pytest.raises(StoreAuth, match="owns no storage"):
        store.verify_access()
    _refused(store, made, StoreAuth, "owns no storage", "backup.drive.shared_drive_id")
    assert [stored.name for stored in store.list()] == ["object"]  # but what is there can be restored


def _share(bench: DriveBench, owner: DriveFolder, folder_id: str, email: str) -> None:
    session = owner._drive._session
    permission = {"type": "user", "role": "writer", "emailAddress": email}
    answer = session.post(f"{bench.emulator.url}drive/v3/files/{folder_id}/permissions", json=permission)
    assert answer.status_code == 200


def test_a_service_account_acting_for_a_user(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_service_account()
    bench.lab.register_user(USER)
    store = bench.store(secret, subject=USER)
    _refused(store, made, StoreAuth, "unauthorized_client", "domain-wide delegation")
    bench.lab.delegate(USER, secret["client_email"])
    bench.store(secret, subject=USER).put("object", made.path, made.digests)
    assert {file["owner"] for file in bench.lab.files()} == {USER}


def test_a_foreign_key_of_a_service_account(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_service_account()
    drive_id = bench.lab.register_shared_drive("Group", {secret["client_email"]: "organizer"})
    foreign = bench.lab.register_service_account("other@project.iam.gserviceaccount.com")["private_key"]
    store = bench.store(secret | {"private_key": foreign}, shared_drive_id=drive_id)
    _refused(store, made, StoreAuth, "invalid_grant", "Invalid JWT Signature")


def test_an_unreadable_key_is_not_quoted(bench: DriveBench, made: Sample) -> None:
    secret = bench.lab.register_service_account() | {"private_key": "-----BEGIN PRIVATE KEY-----\nsentinel"}
    with pytest.raises(StoreAuth, match="private key is unreadable") as caught:
        bench.store(secret, shared_drive_id="x").put("object", made.path, made.digests)
    assert "sentinel" not in str(caught.value)


# -- shared drives -------------------------------------------------------------------------------------------


def _shared(bench: DriveBench, role: str) -> tuple[dict[str, str], str]:
    secret = bench.lab.register_service_account()
    return secret, bench.lab.register_shared_drive("Group", {secret["client_email"]: role})


def test_a_folder_inside_a_shared_drive_by_id(bench: DriveBench, made: Sample) -> None:
    secret, drive_id = _shared(bench, "organizer")
    bench.store(secret, shared_drive_id=drive_id, folder_name="By hand").verify_access()
    store = bench.store(secret, folder_id=_folder(bench)["id"])
    store.put("object", made.path, made.digests)
    assert [stored.name for stored in store.list()] == ["object"]


def test_the_shared_drive_itself_as_folder(bench: DriveBench, made: Sample) -> None:
    secret, drive_id = _shared(bench, "organizer")
    store = bench.store(secret, folder_id=drive_id)
    store.put("object", made.path, made.digests)
    assert [stored.name for stored in store.list()] == ["object"]


def test_a_shared_drive_that_is_gone(bench: DriveBench, made: Sample) -> None:
    secret, _ = _shared(bench, "organizer")
    store = bench.store(secret, shared_drive_id="0Agone")
    _refused(store, made, StoreNotFound, "0Agone", "backup.drive.shared_drive_id")


def test_a_reader_cannot_store(bench: DriveBench, made: Sample) -> None:
    secret, drive_id = _shared(bench, "reader")
    _refused(bench.store(secret, shared_drive_id=drive_id), made, StoreAuth, "Contributor", "untouched")


def test_a_contributor_stores_but_cannot_delete(bench: DriveBench, made: Sample) -> None:
    secret, drive_id = _shared(bench, "writer")
    store = bench.store(secret, shared_drive_id=drive_id)
    stored = store.put("object", made.path, made.digests)
    with pytest.raises(StoreAuth, match=r"deleting object in Drive failed.*Manager"):
        store.delete(stored)
    bench.lab.fault("corrupt", match={"upload": True})
    with pytest.raises(StoreDamaged, match="Delete that file in Drive"):
        store.put("other", made.path, made.digests)


def test_a_content_manager_deletes_into_the_trash(bench: DriveBench, made: Sample) -> None:
    secret, drive_id = _shared(bench, "fileOrganizer")
    store = bench.store(secret, shared_drive_id=drive_id)
    store.delete(store.put("object", made.path, made.digests))
    assert list(store.list()) == []
    assert [file["trashed"] for file in bench.lab.files() if "md5" in file] == [True]


# -- before anybody relies on it -----------------------------------------------------------------------------


def _verified(store: DriveFolder, error: type[StoreError], *phrases: str) -> None:
    with pytest.raises(error) as caught:
        store.verify_access()
    text = str(caught.value)
    assert "\n" not in text
    for phrase in phrases:
        assert phrase in text


def test_access_that_was_revoked_is_noticed_while_the_token_is_good(bench: DriveBench) -> None:
    """Google's own servers keep taking an access token for a while; the next refresh fails."""
    secret = bench.lab.register_user()
    store = bench.store(secret)
    store.verify_access()
    bench.lab.fault("invalid-grant", times=None)
    list(store.list())
    _verified(store, StoreAuth, "invalid_grant", "untouched", "authorise again")


def test_access_to_a_folder_in_the_trash(bench: DriveBench) -> None:
    store = bench.user_store()
    store.verify_access()
    drive = store._drive
    drive.call("trashing", drive.files.update(fileId=_folder(bench)["id"], body={"trashed": True}), bool)
    _verified(store, StoreNotFound, "is in Drive's trash", "Restore the folder")


@pytest.mark.parametrize(
    ("role", "append_only", "error", "phrases"),
    [
        ("organizer", False, None, ()),
        ("fileOrganizer", False, None, ()),
        ("writer", True, None, ()),
        ("writer", False, StoreAuth, ("set backup.drive.append_only", "Manager", "untouched")),
        ("reader", False, StoreAuth, ("Contributor", "untouched")),
        ("reader", True, StoreAuth, ("Contributor", "untouched")),
    ],
)
@pytest.mark.parametrize("use", ["verify_access", "probe"])
def test_roles_in_a_shared_drive(
    bench: DriveBench,
    role: str,
    append_only: bool,
    error: type[StoreError] | None,
    phrases: tuple[str, ...],
    use: str,
) -> None:
    secret, drive_id = _shared(bench, "organizer")
    bench.store(secret, shared_drive_id=drive_id).verify_access()
    bench.lab.set_role(drive_id, secret["client_email"], role)
    store = bench.store(secret, shared_drive_id=drive_id, append_only=append_only)
    if error is None:
        getattr(store, use)()
        return
    with pytest.raises(error) as caught:
        getattr(store, use)()
    for phrase in phrases:
        assert phrase in str(caught.value)


def test_a_member_no_longer(bench: DriveBench) -> None:
    secret, drive_id = _shared(bench, "organizer")
    store = bench.store(secret, shared_drive_id=drive_id)
    store.verify_access()
    bench.lab.post("state", {"shared_drives": [{"id": drive_id, "name": "Group", "members": {}}]})
    _verified(store, StoreNotFound, drive_id, "backup.drive.shared_drive_id")


def test_a_probe_finds_a_full_drive(bench: DriveBench) -> None:
    store = bench.store(bench.lab.register_user(quota=100))
    with pytest.raises(StoreFull, match="Empty the trash"):
        store.probe()
    assert bench.names() == []


def test_a_probe_finds_a_store_that_gives_back_other_bytes(bench: DriveBench) -> None:
    store = bench.user_store()
    bench.lab.fault("corrupt", times=None, match={"operation": "download"})
    with pytest.raises(StoreDamaged, match="loomio_backup_probe"):
        store.probe()


def test_what_an_interrupted_probe_left_is_used_again(bench: DriveBench) -> None:
    secret = bench.lab.register_user()
    bench.lab.fault("status", status=503, times=None, match={"operation": "files.delete"})
    with pytest.raises(StoreError):
        bench.store(secret).probe()
    assert len(bench.names()) == 1
    bench.lab.clear_faults()
    bench.store(secret).probe()
    assert bench.names() == []


# -- secrets, and how stores are opened ----------------------------------------------------------------------


def test_no_token_is_in_the_log(bench: DriveBench, made: Sample, tmp_path: Path) -> None:
    secret, drive_id = _shared(bench, "organizer")
    user = bench.lab.register_user()
    for store in (bench.store(user), bench.store(secret, shared_drive_id=drive_id)):
        store.get(store.put("object", made.path, made.digests), tmp_path / "fetched")
    log = json.dumps(bench.lab.log())
    for hidden in (user["refresh_token"], user["client_secret"], "ya29.", "eyJ", 'upload_id": "A'):
        assert hidden not in log


def test_open_stores(bench: DriveBench, tmp_path: Path) -> None:
    stores = Stores.model_validate({"local": {"path": tmp_path}, "drive": bench.settings()})
    config = Config(host="pi", stores=stores, recipients=["age1x"], signing_public_key="x")
    opened = open_stores(config, bench.lab.register_user(scopes=[DRIVE_FILE]))
    assert {name: store.kind for name, store in opened.items()} == {"local": "local", "drive": "drive"}
    with pytest.raises(StoreAuth, match="credentials are missing"):
        open_stores(config, None)
