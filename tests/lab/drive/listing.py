"""files.list as rules over the tree: what a caller may see, what `q` accepts, in which order, in pages."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .accounts import Accounts, Caller
from .errors import ApiError, invalid, not_found
from .operations import all_drives
from .query import compile_query, mentioned_parents
from .rendering import query_view
from .tree import FOLDER, FileRecord, Tree

_SORT_KEYS = frozenset(
    "createdTime folder modifiedByMeTime modifiedTime name name_natural quotaBytesUsed recency "
    "sharedWithMeTime starred "
    "viewedByMeTime".split()
)


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    records: list[FileRecord]
    next_token: str | None


class Listing:
    """Answers files.list. `page_limit` caps pages ("The service may return fewer than this value"): tests
    lower it.
    """

    def __init__(self, tree: Tree, accounts: Accounts) -> None:
        self._tree, self._accounts = tree, accounts
        self.page_limit = 1000

    def page(self, caller: Caller, query: Mapping[str, str], stale: bool = False) -> Page:
        """One page; ApiError where Drive refuses. `stale`: see faults.py."""
        text = query.get("q", "")
        wanted = compile_query(text)
        order = _order(query.get("orderBy", ""))
        size = min(int(query.get("pageSize", "100")), self.page_limit)
        fingerprint = hashlib.sha256(
            json.dumps([query.get(name) for name in ("q", "orderBy", "corpora", "driveId")]).encode()
        ).hexdigest()[:16]
        start, going_on_stale = _page_start(query.get("pageToken"), fingerprint)
        stale = going_on_stale if start else stale  # the pages of one list are of one moment
        with self._tree.lock:
            self._check_parents(caller, text)
            root_id = self._accounts.accounts[caller.email].root_id
            found = [
                record
                for record in self._scope(caller, query, stale)
                if wanted(query_view(self._tree, caller, record, root_id))
            ]
        found.sort(key=lambda record: (record.created, record.id), reverse=True)
        if stale:
            alive = [
                record for record in found if record.mime_type != FOLDER and record.id in self._tree.files
            ]
            found = [record for record in found if record not in alive[:1]]
        for key, descending in reversed(order):
            found.sort(key=lambda record, key=key: _sort_value(record, key), reverse=descending)  # type: ignore[misc]
        rest = len(found) > start + size
        token = _page_token(start + size, stale, fingerprint) if rest else None
        return Page(found[start : start + size], token)

    def _check_parents(self, caller: Caller, text: str) -> None:
        for file_id in mentioned_parents(text):
            record = self._tree.files.get(self._tree.resolve(caller, file_id))
            if record is None or not self._tree.role(caller, record):
                raise not_found("")
            if record.parent is not None and not self._tree.visible(caller, record):
                raise not_found("")

    def _scope(self, caller: Caller, query: Mapping[str, str], stale: bool) -> list[FileRecord]:
        tree, corpora, drive_id = (
            self._tree,
            query.get("corpora", "user"),
            query.get("driveId") or query.get("teamDriveId"),
        )
        wide = (
            query.get("includeItemsFromAllDrives") == "true" or query.get("includeTeamDriveItems") == "true"
        )
        if corpora not in ("user", "drive", "allDrives", "domain"):
            raise invalid("corpora")
        if (corpora == "drive") != bool(drive_id):
            raise ApiError(
                403, "The driveId parameter and corpora=drive belong together.", "teamDrivesParameterMismatch"
            )
        if wide and not all_drives(query):
            raise ApiError(
                403, "includeItemsFromAllDrives needs supportsAllDrives.", "teamDrivesNotSupported"
            )
        if corpora in ("drive", "allDrives") and not wide:
            raise ApiError(403, "This corpora needs includeItemsFromAllDrives.", "teamDrivesNotSupported")
        if drive_id and (drive_id not in tree.drives or caller.email not in tree.drives[drive_id].members):
            raise ApiError(404, f"Shared drive not found: {drive_id}", "notFound", "driveId")
        return [
            record
            for record in (*tree.files.values(), *(tree.ghosts if stale else ()))
            if record.parent is not None
            and tree.listed(record)
            and (record.drive_id == drive_id if drive_id else wide or record.drive_id is None)
            and tree.visible(caller, record)
        ]


def _order(text: str) -> list[tuple[str, bool]]:
    keys: list[tuple[str, bool]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, direction = part.partition(" ")
        if name not in _SORT_KEYS or direction not in ("", "desc"):
            raise invalid("orderBy", f"Sorting is not supported for {part}.")
        keys.append((name, bool(direction)))
    return keys


def _sort_value(record: FileRecord, key: str) -> Any:
    match key:
        case "name":
            return record.name.casefold()
        case "name_natural":
            return [
                (part.isdigit(), int(part) if part.isdigit() else 0, part)
                for part in re.split(r"(\d+)", record.name)
            ]
        case "createdTime":
            return record.created
        case "folder":
            return record.mime_type != FOLDER
        case "quotaBytesUsed":
            return record.size
        case "starred":
            return bool(record.extra.get("starred"))
        case _:
            return record.modified


def _page_token(start: int, stale: bool, fingerprint: str) -> str:
    return base64.urlsafe_b64encode(f"{fingerprint}:{start}:{int(stale)}".encode()).decode()


def _page_start(token: str | None, fingerprint: str) -> tuple[int, bool]:
    if not token:
        return 0, False
    try:
        mark, start, stale = base64.urlsafe_b64decode(token).decode().split(":")
    except (binascii.Error, ValueError) as error:
        raise invalid("pageToken") from error
    if mark != fingerprint or not start.isdigit():
        raise invalid("pageToken")
    return int(start), stale == "1"
