"""The languages of the Drive emulator: `q` and `fields`, understood as Drive understands them, refused as it
refuses.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from googleapiclient.discovery_cache import get_static_doc
from hypothesis import given
from hypothesis import strategies as st

from .drive.errors import ApiError
from .drive.fields import Schemas, project
from .drive.query import compile_query, mentioned_parents

FILE: dict[str, Any] = {
    "name": "it's a Backup_file.zst",
    "mimeType": "application/octet-stream",
    "createdTime": datetime(2026, 11, 23, 2, 0, tzinfo=UTC),
    "modifiedTime": datetime(2026, 11, 23, 3, 0, tzinfo=UTC),
    "viewedByMeTime": None,
    "trashed": False,
    "starred": True,
    "sharedWithMe": False,
    "visibility": "limited",
    "parents": {"folder", "root"},
    "owners": {"group@example.org", "me"},
    "writers": {"group@example.org", "me"},
    "readers": {"group@example.org", "me"},
    "properties": {"kind": "dump"},
    "appProperties": {},
}

TRUE = [
    "",
    r"name = 'it\'s a Backup_file.zst'",
    r"name = 'IT\'S A BACKUP_FILE.ZST'",
    "name contains 'backup'",
    "name contains 'file'",
    "name != 'other'",
    "mimeType contains 'application/'",
    "mimeType != 'application/vnd.google-apps.folder'",
    "trashed = false",
    "trashed=false",
    "trashed != true",
    "starred = true",
    "'folder' in parents",
    "'root' in parents and 'me' in owners and 'me' in writers",
    "trashed=false and ('folder' in parents) and (name contains 'it')",
    "not 'other' in parents",
    "not (trashed = true or name = 'x')",
    "createdTime > '2026-11-23T01:59:59'",
    "createdTime = '2026-11-23T03:00:00+01:00'",
    "modifiedTime <= '2026-11-23T03:00:00Z' and modifiedTime >= '2026-11-23T03:00:00Z'",
    "properties has { key='kind' and value='dump' }",
    "trashed = true and name = 'x' or starred = true",
    "starred = true or trashed = true and starred = true",
    "visibility = 'limited'",
    "\tname\ncontains  'it'  ",
]
FALSE = [
    "name contains 'ackup'",
    "name = 'x'",
    "trashed = true",
    "'x' in parents",
    "starred = true or starred = true and trashed = true",  # from left to right, not "and" before "or"
    "createdTime < '2026-11-23'",
    "viewedByMeTime > '2000-01-01T00:00:00'",
    "properties has { key='kind' and value='config' }",
    "sharedWithMe",
    "sharedWithMe = true",
    "not starred = true",
]
REFUSED = [
    "name",
    "name =",
    "name = x",
    "name = 'unterminated",
    'name = "double"',
    "name > 'x'",
    "name contains",
    "title = 'x'",
    "trashed",
    "trashed = 'false'",
    "trashed = maybe",
    "trashed contains true",
    "'x' in",
    "'x' in somewhere",
    "'x' = name",
    "(trashed = false",
    "trashed = false)",
    "trashed = false and",
    "and trashed = false",
    "trashed = false trashed = false",
    "trashed = false && starred = true",
    "createdTime > 'yesterday'",
    "properties has { key='a' }",
    "properties = 'a'",
    "not",
    "()",
    "name = 'it's'",
]


@pytest.mark.parametrize("query", TRUE)
def test_accepted(query: str) -> None:
    assert compile_query(query)(FILE) is True


@pytest.mark.parametrize("query", FALSE)
def test_not_accepted(query: str) -> None:
    assert compile_query(query)(FILE) is False


@pytest.mark.parametrize("query", REFUSED)
def test_refused(query: str) -> None:
    with pytest.raises(ApiError) as caught:
        compile_query(query)
    assert (caught.value.status, caught.value.reason, caught.value.location) == (400, "invalid", "q")


@given(st.text())
def test_every_name_can_be_quoted(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    assert compile_query(f"name = '{quoted}' and trashed = false")(FILE | {"name": name}) is True


@given(st.text(alphabet="name=trshdfolue'in()\\ andot{}<>!"))
def test_nonsense_is_refused_and_never_crashes(text: str) -> None:
    try:
        compile_query(text)(FILE)
    except ApiError as error:
        assert error.status == 400


def test_parents_that_a_query_mentions() -> None:
    query = "'a' in parents or (not 'b' in parents) and name = 'c' and 'd' in owners"
    assert mentioned_parents(query) == {"a", "b"}


RESOURCE = {
    "kind": "drive#fileList",
    "nextPageToken": "t",
    "files": [
        {
            "id": "1",
            "name": "a",
            "owners": [{"emailAddress": "x", "me": True}],
            "properties": {"k": "v", "l": "w"},
        }
    ],
}


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("nextPageToken", {"nextPageToken": "t"}),
        ("files/id", {"files": [{"id": "1"}]}),
        ("files(id, name)", {"files": [{"id": "1", "name": "a"}]}),
        ("files(id),files(name)", {"files": [{"id": "1", "name": "a"}]}),
        ("files(owners/me),kind", {"kind": "drive#fileList", "files": [{"owners": [{"me": True}]}]}),
        ("files(owners(emailAddress))", {"files": [{"owners": [{"emailAddress": "x"}]}]}),
        ("files(properties/k)", {"files": [{"properties": {"k": "v"}}]}),
        ("*", RESOURCE),
        ("files/*", {"files": RESOURCE["files"]}),
        ("files(id),files", {"files": RESOURCE["files"]}),
    ],
)
def test_fields(mask: str, expected: dict[str, Any]) -> None:
    assert project(RESOURCE, _schemas().parse(mask, "FileList")) == expected


@pytest.mark.parametrize(
    "mask", ["", "nonsense", "files(nonsense)", "files(id", "files id", "files(id))", ",", "files/"]
)
def test_fields_refused(mask: str) -> None:
    with pytest.raises(ApiError) as caught:
        _schemas().parse(mask, "FileList")
    assert (caught.value.status, caught.value.location) == (400, "fields")


def _schemas() -> Schemas:
    return Schemas(json.loads(get_static_doc("drive", "v3"))["schemas"])
