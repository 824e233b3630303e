"""The Drive emulator, tried with Google's client library and, where that is too polite, with plain HTTP."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials
from googleapiclient import discovery, discovery_cache
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaFileUpload, MediaIoBaseDownload, MediaIoBaseUpload

from .drive import DriveEmulator, LabDrive
from .drive.client import DRIVE, DRIVE_FILE

FOLDER = "application/vnd.google-apps.folder"
USER = "group@example.org"


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[DriveEmulator]:
    with DriveEmulator(tmp_path / "drive") as running:
        yield running


@pytest.fixture
def lab(emulator: DriveEmulator) -> LabDrive:
    return LabDrive(emulator.url)


def _credentials(lab: LabDrive, secret: dict[str, str]) -> Credentials:
    kept = {name: secret[name] for name in ("refresh_token", "client_id", "client_secret")}
    return Credentials(  # type: ignore[no-untyped-call]
        None, token_uri=lab.token_uri, **kept
    )


def _session(lab: LabDrive, secret: dict[str, str]) -> AuthorizedSession:
    return AuthorizedSession(_credentials(lab, secret))  # type: ignore[no-untyped-call]


def _service(lab: LabDrive, secret: dict[str, str]) -> Any:
    """The library as anybody would use it: its own transport, only the root address changed."""
    document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
    document["rootUrl"] = lab.url
    document.pop("mtlsRootUrl")
    return discovery.build_from_document(document, credentials=_credentials(lab, secret))


@pytest.fixture
def drive(lab: LabDrive) -> Any:
    return _service(lab, lab.register_user(USER, scopes=[DRIVE]))


@pytest.fixture
def session(lab: LabDrive) -> AuthorizedSession:
    return _session(lab, lab.register_user(USER, scopes=[DRIVE]))


def _put(drive: Any, name: str, content: bytes, **body: Any) -> dict[str, Any]:
    media = MediaIoBaseUpload(io.BytesIO(content), "application/octet-stream", resumable=bool(content))
    created: dict[str, Any] = (
        drive.files().create(body={"name": name, **body}, media_body=media, fields="*").execute()
    )
    return created


def _folder(drive: Any, name: str, **body: Any) -> str:
    made = drive.files().create(body={"name": name, "mimeType": FOLDER, **body}, fields="id").execute()
    return str(made["id"])


def _names(drive: Any, **query: Any) -> list[str]:
    return sorted(file["name"] for file in drive.files().list(**query).execute()["files"])


def _refused(status: int, reason: str, call: Any) -> None:
    with pytest.raises(HttpError) as caught:
        call.execute()
    error = json.loads(caught.value.content)["error"]
    assert (error["code"], error["errors"][0]["reason"]) == (status, reason)


# -- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 262_144, 1_000_001])
@pytest.mark.parametrize("resumable", [False, True])
def test_upload_and_download(drive: Any, tmp_path: Path, size: int, resumable: bool) -> None:
    content = os.urandom(size)
    (tmp_path / "source").write_bytes(content)
    media = MediaFileUpload(str(tmp_path / "source"), "x/y", chunksize=262_144, resumable=resumable)
    file = drive.files().create(body={"name": "n"}, media_body=media, fields="*").execute()
    assert (file["name"], file["mimeType"], file["size"]) == ("n", "x/y", str(size))
    assert file["md5Checksum"] == hashlib.md5(content).hexdigest()
    assert file["sha1Checksum"] == hashlib.sha1(content).hexdigest()
    assert file["sha256Checksum"] == hashlib.sha256(content).hexdigest()
    target = io.BytesIO()
    download = MediaIoBaseDownload(target, drive.files().get_media(fileId=file["id"]), chunksize=300_000)
    done = False
    while not done:
        _, done = download.next_chunk()
    assert target.getvalue() == content


def test_plain_media_upload(session: AuthorizedSession, lab: LabDrive) -> None:
    url = f"{lab.url}upload/drive/v3/files?uploadType=media"
    file = session.post(url, data=b"content", headers={"Content-Type": "text/plain"}).json()
    assert file == {"kind": "drive#file", "id": file["id"], "name": "Untitled", "mimeType": "text/plain"}


def test_default_fields(drive: Any) -> None:
    file = drive.files().create(body={"name": "n"}).execute()
    assert set(file) == {"kind", "id", "name", "mimeType"}
    listed = drive.files().list().execute()
    assert set(listed) == {"kind", "incompleteSearch", "files"}
    assert listed["files"] == [file]


def test_metadata_can_be_changed(drive: Any) -> None:
    file = _put(drive, "old", b"content", description="d", createdTime="2020-01-02T03:04:05+01:00")
    assert file["createdTime"] == "2020-01-02T02:04:05.000Z"
    changed = (
        drive.files()
        .update(fileId=file["id"], body={"name": "new", "properties": {"a": "b"}}, fields="*")
        .execute()
    )
    assert (changed["name"], changed["properties"], changed["description"]) == ("new", {"a": "b"}, "d")
    assert changed["md5Checksum"] == file["md5Checksum"]
    assert int(changed["version"]) > int(file["version"])
    _refused(403, "fieldNotWritable", drive.files().update(fileId=file["id"], body={"size": "3"}))
    _refused(400, "badRequest", drive.files().update(fileId=file["id"], body={"nonsense": 1}))


@pytest.mark.parametrize("resumable", [False, True])
def test_content_can_be_replaced(drive: Any, resumable: bool) -> None:
    file = _put(drive, "n", b"old")
    media = MediaIoBaseUpload(io.BytesIO(b"newer"), "a/b", resumable=resumable)
    changed = drive.files().update(fileId=file["id"], media_body=media, fields="*").execute()
    assert (changed["id"], changed["size"], changed["name"]) == (file["id"], "5", "n")
    assert changed["headRevisionId"] != file["headRevisionId"]
    assert drive.files().get_media(fileId=file["id"]).execute() == b"newer"


def test_names_are_not_unique(drive: Any) -> None:
    _put(drive, "same", b"1")
    _put(drive, "same", b"2")
    assert _names(drive, q="name = 'same'") == ["same", "same"]


def test_folders_and_moves(drive: Any) -> None:
    one, two = _folder(drive, "one"), _folder(drive, "two")
    file = _put(drive, "n", b"x", parents=[one])
    assert file["parents"] == [one]
    _refused(403, "cannotAddParent", drive.files().update(fileId=file["id"], addParents=two))
    moved = (
        drive.files().update(fileId=file["id"], addParents=two, removeParents=one, fields="parents").execute()
    )
    assert moved == {"parents": [two]}
    assert _names(drive, q=f"'{two}' in parents") == ["n"]
    _refused(404, "notFound", drive.files().list(q="'nowhere' in parents"))
    _refused(404, "notFound", drive.files().create(body={"name": "n", "parents": ["nowhere"]}))
    drive.files().delete(fileId=two).execute()
    _refused(404, "notFound", drive.files().get(fileId=file["id"]))


def test_trash(drive: Any) -> None:
    folder = _folder(drive, "f")
    file = _put(drive, "n", b"12345", parents=[folder])
    drive.files().update(fileId=folder, body={"trashed": True}).execute()
    shown = drive.files().get(fileId=file["id"], fields="trashed,explicitlyTrashed").execute()
    assert shown == {"trashed": True, "explicitlyTrashed": False}
    assert _names(drive, q="trashed = false") == []
    assert _names(drive) == ["f", "n"]
    quota = drive.about().get(fields="storageQuota").execute()["storageQuota"]
    assert quota == {"usage": "5", "usageInDrive": "5", "usageInDriveTrash": "5"}
    drive.files().emptyTrash().execute()
    assert _names(drive) == []


def test_ids_given_in_advance(drive: Any) -> None:
    ids = drive.files().generateIds(count=3).execute()["ids"]
    assert len(set(ids)) == 3
    _put(drive, "n", b"x", id=ids[0])
    with pytest.raises(HttpError) as caught:
        _put(drive, "n", b"x", id=ids[0])
    assert caught.value.status_code == 409
    assert "fileIdInUse" in caught.value.content.decode()
    _refused(400, "invalid", drive.files().create(body={"id": "made up", "name": "n"}))
    _refused(400, "invalidParameter", drive.files().generateIds(count=0))
    drive.files().delete(fileId=ids[0]).execute()
    _refused(409, "fileIdInUse", drive.files().create(body={"id": ids[0], "name": "n"}))


def test_paging_and_order(drive: Any, lab: LabDrive) -> None:
    for number in (3, 1, 10, 2):
        _put(drive, f"n{number}", b"x" * number)
    assert [file["name"] for file in drive.files().list(orderBy="name_natural").execute()["files"]] == [
        "n1", "n2", "n3", "n10",
    ]  # fmt: skip
    request, pages = drive.files().list(pageSize=3, orderBy="name desc"), []
    while request is not None:
        answer = request.execute()
        pages.append([file["name"] for file in answer["files"]])
        request = drive.files().list_next(request, answer)
    assert pages == [["n3", "n2", "n10"], ["n1"]]
    token = drive.files().list(pageSize=1).execute()["nextPageToken"]
    _refused(400, "invalid", drive.files().list(pageSize=1, q="trashed = false", pageToken=token))
    _refused(400, "invalid", drive.files().list(pageToken="nonsense"))
    _refused(400, "invalid", drive.files().list(orderBy="size"))


def test_the_token_of_the_next_page_must_be_asked_for(drive: Any) -> None:
    for name in ("a", "b"):
        _put(drive, name, b"x")
    assert "nextPageToken" not in drive.files().list(pageSize=1, fields="files(id)").execute()


# -- plain HTTP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        (None, 200, b"0123456789"),
        ("bytes=0-", 206, b"0123456789"),
        ("bytes=3-5", 206, b"345"),
        ("bytes=7-100", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=10-", 416, None),
        ("bytes=1-2,4-5", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_ranges(
    drive: Any,
    session: AuthorizedSession,
    lab: LabDrive,
    header: str | None,
    status: int,
    expected: bytes | None,
) -> None:
    file = _put(drive, "n", b"0123456789")
    url = f"{lab.url}drive/v3/files/{file['id']}?alt=media"
    answer = session.get(url, headers={"Range": header} if header else {})
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == expected
    if status == 206:
        assert re.fullmatch(r"bytes \d+-\d+/10", answer.headers["Content-Range"])
    if status == 416:
        assert answer.headers["Content-Range"] == "bytes */10"


def _open_session(session: AuthorizedSession, lab: LabDrive, size: int | None) -> str:
    headers = {"X-Upload-Content-Length": str(size)} if size is not None else {}
    url = f"{lab.url}upload/drive/v3/files?uploadType=resumable&fields=id,size"
    answer = session.post(url, json={"name": "n"}, headers=headers)
    assert answer.status_code == 200
    return str(answer.headers["Location"])


GRAIN = 256 * 1024


def test_resumable_upload_by_hand(session: AuthorizedSession, lab: LabDrive) -> None:
    """Chunks, a question, an overlap, a gap, and a question after the end; no token needed for any of it."""
    url, content = _open_session(session, lab, 3 * GRAIN), os.urandom(3 * GRAIN)

    def send(start: int, end: int, total: str = str(3 * GRAIN)) -> requests.Response:
        return requests.put(
            url, content[start:end], headers={"Content-Range": f"bytes {start}-{end - 1}/{total}"}
        )

    asked = requests.put(url, headers={"Content-Range": f"bytes */{3 * GRAIN}"})
    assert (asked.status_code, asked.headers.get("Range")) == (308, None)
    first = send(0, GRAIN, "*")
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{GRAIN - 1}")
    assert send(2 * GRAIN, 3 * GRAIN).status_code == 400
    uneven = send(0, GRAIN + 1000)
    assert (uneven.status_code, uneven.headers["Range"]) == (308, f"bytes=0-{GRAIN - 1}")
    assert send(0, 10, "99").status_code == 400
    done = send(GRAIN - 500, 3 * GRAIN)
    assert (done.status_code, done.json()["size"]) == (200, str(3 * GRAIN))
    again = requests.put(url, headers={"Content-Range": f"bytes */{3 * GRAIN}"})
    assert (again.status_code, again.json()) == (200, done.json())
    fetched = session.get(f"{lab.url}drive/v3/files/{done.json()['id']}?alt=media").content
    assert fetched == content
    assert len(lab.files()) == 1


def test_resumable_upload_by_post_in_one_piece(session: AuthorizedSession, lab: LabDrive) -> None:
    assert requests.post(_open_session(session, lab, None), b"content").json()["size"] == "7"
    assert requests.put(_open_session(session, lab, 0), b"").json()["size"] == "0"


def test_unknown_upload_session(lab: LabDrive) -> None:
    url = f"{lab.url}upload/drive/v3/files?uploadType=resumable&upload_id=nonsense"
    assert requests.put(url, b"x").status_code == 404


def test_chunked_transfer_coding(session: AuthorizedSession, lab: LabDrive) -> None:
    url = f"{lab.url}upload/drive/v3/files?uploadType=media&fields=size,md5Checksum"
    file = session.post(url, data=iter([b"abc", b"def"])).json()
    assert file == {"size": "6", "md5Checksum": hashlib.md5(b"abcdef").hexdigest()}


def test_method_override(session: AuthorizedSession, lab: LabDrive, drive: Any) -> None:
    file = _put(drive, "n", b"x")
    url = f"{lab.url}drive/v3/files"
    listed = session.post(url, data="q=name+%3D+'n'", headers={
        "X-HTTP-Method-Override": "GET", "Content-Type": "application/x-www-form-urlencoded",
    })  # fmt: skip
    assert [entry["id"] for entry in listed.json()["files"]] == [file["id"]]
    changed = session.post(
        f"{url}/{file['id']}", json={"name": "m"}, headers={"X-HTTP-Method-Override": "PATCH"}
    )
    assert changed.json()["name"] == "m"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("drive/v3/files?q=nonsense", 400),
        ("drive/v3/files?nonsense=1", 400),
        ("drive/v3/files?pageSize=many", 400),
        ("drive/v3/files?pageSize=0", 400),
        ("drive/v3/files?supportsAllDrives=maybe", 400),
        ("drive/v3/files?fields=nonsense", 400),
        ("drive/v3/files?corpora=drive", 403),
        ("drive/v3/files?includeItemsFromAllDrives=true", 403),
        ("drive/v3/files/nothing", 404),
        ("drive/v3/nonsense", 404),
        ("drive/v3/about", 400),
        ("drive/v3/about?fields=nonsense", 400),
        ("drive/v3/changes?pageToken=1", 501),
    ],
)
def test_refusals(session: AuthorizedSession, lab: LabDrive, path: str, status: int) -> None:
    answer = session.get(lab.url + path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status


def test_a_request_without_a_token(lab: LabDrive) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        answer = requests.get(f"{lab.url}drive/v3/files", headers=headers)
        assert answer.status_code == 401
        assert "Bearer" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "client_id": "nobody"}, 401, "invalid_client"),
        (
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"},
            400,
            "invalid_grant",
        ),
        (
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": ""},
            400,
            "invalid_grant",
        ),
    ],
)
def test_the_token_endpoint_refuses(lab: LabDrive, form: dict[str, str], status: int, error: str) -> None:
    answer = requests.post(lab.token_uri, form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_scope_that_was_not_granted(lab: LabDrive) -> None:
    secret = lab.register_user(scopes=[DRIVE_FILE])
    form = {name: secret[name] for name in ("client_id", "client_secret", "refresh_token")}
    answer = requests.post(lab.token_uri, {"grant_type": "refresh_token", "scope": DRIVE, **form})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


# -- accounts ------------------------------------------------------------------------------------------------


def test_what_another_client_made_is_hidden_from_drive_file(lab: LabDrive) -> None:
    one, two = (_service(lab, lab.register_user(USER)) for _ in range(2))
    file = _put(one, "n", b"x")
    assert _names(one) == ["n"]
    assert _names(two) == []
    _refused(404, "notFound", two.files().get(fileId=file["id"]))
    _refused(404, "notFound", two.files().delete(fileId=file["id"]))
    _refused(404, "notFound", one.files().get(fileId="root"))  # drive.file does not show the root


def test_users_do_not_see_each_other_until_they_share(lab: LabDrive) -> None:
    owner = _service(lab, lab.register_user("a@example.org", scopes=[DRIVE]))
    guest = _service(lab, lab.register_user("b@example.org", scopes=[DRIVE]))
    folder = _folder(owner, "f")
    file = _put(owner, "n", b"x", parents=[folder])
    _refused(404, "notFound", guest.files().get(fileId=file["id"]))
    body = {"type": "user", "role": "reader", "emailAddress": "b@example.org"}
    permission = owner.permissions().create(fileId=folder, body=body).execute()
    assert _names(guest, q="sharedWithMe") == ["f", "n"]
    _refused(403, "insufficientFilePermissions", guest.files().update(fileId=file["id"], body={"name": "m"}))
    _refused(403, "insufficientFilePermissions", guest.files().delete(fileId=file["id"]))
    roles = owner.permissions().list(fileId=folder).execute()["permissions"]
    assert sorted(role["role"] for role in roles) == ["owner", "reader"]
    owner.permissions().delete(fileId=folder, permissionId=permission["id"]).execute()
    assert _names(guest) == []


def test_shared_drives_need_to_be_asked_for(lab: LabDrive) -> None:
    member = _service(lab, lab.register_user(USER, scopes=[DRIVE]))
    drive_id = lab.register_shared_drive("Group", {USER: "writer"})
    assert [drive["name"] for drive in member.drives().list().execute()["drives"]] == ["Group"]
    assert member.drives().get(driveId=drive_id).execute()["id"] == drive_id
    _refused(404, "notFound", member.drives().get(driveId="0Anothing"))
    _refused(404, "notFound", member.files().create(body={"name": "n", "parents": [drive_id]}))
    body = {"name": "n", "parents": [drive_id]}
    file = member.files().create(body=body, supportsAllDrives=True).execute()
    assert file["driveId"] == drive_id
    _refused(404, "notFound", member.files().get(fileId=file["id"]))
    assert _names(member) == []
    everywhere = {"supportsAllDrives": True, "includeItemsFromAllDrives": True}
    assert _names(member, corpora="drive", driveId=drive_id, **everywhere) == ["n"]
    _refused(
        403, "insufficientFilePermissions", member.files().delete(fileId=file["id"], supportsAllDrives=True)
    )
    lab.set_role(drive_id, USER, "organizer")
    member.files().delete(fileId=file["id"], supportsAllDrives=True).execute()


def test_quota(lab: LabDrive) -> None:
    drive = _service(lab, lab.register_user(USER, quota=100))
    _put(drive, "n", b"x" * 100)
    with pytest.raises(HttpError, match="storage quota has been exceeded"):
        _put(drive, "m", b"x")
    assert drive.about().get(fields="storageQuota(limit,usage)").execute()["storageQuota"] == {
        "limit": "100", "usage": "100",
    }  # fmt: skip
    lab.set_quota(USER, None)
    _put(drive, "m", b"x")


# -- the emulator as a program -------------------------------------------------------------------------------


def test_it_survives_a_restart_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab, port = LabDrive(emulator.url), emulator.port
        secret = lab.register_user(USER)
        session = _session(lab, secret)
        url = _open_session(session, lab, 2 * GRAIN)
        requests.put(url, bytes(GRAIN), headers={"Content-Range": f"bytes 0-{GRAIN - 1}/{2 * GRAIN}"})
        before = _service(lab, secret).files().create(body={"name": "before"}).execute()
    with DriveEmulator(tmp_path / "drive", port=port) as emulator:
        rest = requests.put(
            url, bytes(GRAIN), headers={"Content-Range": f"bytes {GRAIN}-{2 * GRAIN - 1}/{2 * GRAIN}"}
        )
        assert (rest.status_code, rest.json()["size"]) == (200, str(2 * GRAIN))
        assert session.get(f"{emulator.url}drive/v3/files/{before['id']}").json()["name"] == "before"
        assert {entry["operation"] for entry in LabDrive(emulator.url).log()} >= {
            "upload.start",
            "upload.chunk",
        }


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.lab.drive", "--port", "0", "--root", str(tmp_path / "drive")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found is not None
        drive = _service(LabDrive(found.group()), LabDrive(found.group()).register_user())
        _put(drive, "n", b"content")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert [path.stat().st_size for path in (tmp_path / "drive" / "blobs").iterdir()] == [7]


def test_the_log(lab: LabDrive) -> None:
    drive = _service(lab, lab.register_user(USER))
    file = _put(drive, "object", b"12345")
    drive.files().get_media(fileId=file["id"]).execute()
    entry = lab.log()[-1]
    shown = {
        name: entry[name] for name in ("client", "method", "operation", "status", "name", "id", "bytes_out")
    }
    assert shown == {
        "client": "127.0.0.1",
        "method": "GET",
        "operation": "download",
        "status": 200,
        "name": "object",
        "id": file["id"],
        "bytes_out": 5,
    }
    assert entry["path"] == f"/drive/v3/files/{file['id']}"
    assert (entry["query"], entry["caller"]) == ({"alt": "media"}, USER)
    assert sum(line["bytes_in"] for line in lab.log() if line["operation"] == "upload.chunk") == 5
    lab.clear_log()
    assert lab.log() == []


def test_faults_strike_where_and_as_often_as_told(lab: LabDrive, session: AuthorizedSession) -> None:
    url = f"{lab.url}drive/v3/files"
    lab.fault(
        "status",
        status=503,
        reason="backendError",
        retry_after=7,
        skip=1,
        match={"method": "GET", "path": "files$"},
    )
    answers = [session.get(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert lab.faults()[0]["struck"] == 1
    lab.clear_faults()
    lab.fault("latency", seconds=0.3)
    begun = time.monotonic()
    session.get(url)
    assert time.monotonic() - begun >= 0.3
    lab.fault("drop-before-commit", match={"name": "doomed*"})
    assert session.post(url, json={"name": "spared"}).status_code == 200
    with pytest.raises(requests.ConnectionError):
        session.post(url, json={"name": "doomed one"})
    lab.fault("drop-after-commit", match={"name": "doomed*"})
    with pytest.raises(requests.ConnectionError):
        session.post(url, json={"name": "doomed two"})
    assert sorted(file["name"] for file in lab.files()) == ["doomed two", "spared"]
    lab.fault("slow", bytes_per_second=1_000_000, match={"upload": True})
    begun = time.monotonic()
    session.post(f"{lab.url}upload/drive/v3/files?uploadType=media", data=bytes(500_000))
    assert time.monotonic() - begun >= 0.4
    lab.fault("invalid-grant")
    lab.post("state", {"end_access_tokens": True})
    with pytest.raises(RefreshError, match="invalid_grant"):
        session.get(url)


def test_the_back_door_refuses_nonsense(lab: LabDrive) -> None:
    for rule in ({"kind": "nonsense"}, {"kind": "corrupt", "match": {"nonsense": 1}}, {"kind": "slow"}):
        assert requests.post(f"{lab.url}_lab/faults", json=rule).status_code == 400
    assert requests.get(f"{lab.url}_lab/nonsense").status_code == 404
    assert requests.post(f"{lab.url}_lab/damage", json={"name": "nothing"}).status_code == 404
