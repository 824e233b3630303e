"""The files of the emulated Drive: records, folders, shared drives, who may do what, and how much room is
left.

Rules come from https://developers.google.com/workspace/drive/api/guides/about-files, …/about-shareddrives and
…/ref-roles.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .accounts import Account, Accounts, Caller
from .database import Database
from .errors import forbidden, not_found, quota_exceeded

FOLDER = "application/vnd.google-apps.folder"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_RANK = {"": 0, "reader": 1, "commenter": 2, "writer": 3, "fileOrganizer": 4, "organizer": 5, "owner": 6}
NO_SERVICE_ACCOUNT_STORAGE = (
    "Service Accounts do not have storage quota. Leverage shared drives "
    "(https://developers.google.com/workspace/drive/api/guides/about-shareddrives), or use OAuth delegation "
    "(http://support.google.com/a/answer/7281227) instead."
)


def new_id(prefix: str = "1", length: int = 33) -> str:
    """An id that looks like Drive's."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length - len(prefix)))


def now() -> str:
    """The present in Drive's format: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Content:
    """Bytes on disk and what they hash to."""

    blob: str  # file name below DIR/blobs
    size: int
    md5: str
    sha1: str
    sha256: str


@dataclass
class FileRecord:
    """One file or folder. `app` is the OAuth client that made it; one of owner and drive_id is set."""

    id: str
    name: str
    mime_type: str
    parent: str | None
    owner: str | None
    drive_id: str | None
    app: str
    created: str
    modified: str
    modified_by: str
    content: Content | None = None
    trashed: bool = False
    trashed_time: str | None = None
    version: int = 1
    revision: str = ""
    listed_after: float = 0.0  # Unix time before which lists do not show it yet
    permissions: dict[str, dict[str, str]] = field(default_factory=dict)  # permission id → email, role
    properties: dict[str, str] = field(default_factory=dict)
    app_properties: dict[str, dict[str, str]] = field(default_factory=dict)  # OAuth client → its private ones
    extra: dict[str, Any] = field(default_factory=dict)  # plain writable metadata: description, starred …

    @property
    def size(self) -> int:
        return self.content.size if self.content else 0

    def hide(self, seconds: float) -> None:
        """Keep it out of lists for so long: they lag behind creation."""
        self.listed_after = time.time() + seconds if seconds else 0.0


@dataclass
class SharedDrive:
    """A shared drive; its id is also the id of its root folder. `members`: email → role."""

    id: str
    name: str
    created: str
    members: dict[str, str] = field(default_factory=dict)


class Tree:
    """All files and shared drives. Callers hold `lock` over a check and the change that depends on it."""

    def __init__(self, database: Database, accounts: Accounts, root: Path) -> None:
        self._database = database
        self._accounts = accounts
        self.lock = threading.RLock()
        self.blobs = root / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.files: dict[str, FileRecord] = {}
        for key, body in database.load("file").items():
            content = Content(**body["content"]) if body["content"] else None
            self.files[key] = FileRecord(**(body | {"content": content}))
        self.drives = {key: SharedDrive(**body) for key, body in database.load("drive").items()}
        self.ghosts: list[FileRecord] = []  # deleted, but a stale list may show them
        self.reserved: dict[str, str] = database.load("reserved")  # ids of generateIds: "free" or "used"

    # -- what exists -----------------------------------------------------------------------------------------

    def add_account(self, account: Account) -> None:
        """Register an account and its My Drive."""
        with self.lock:
            known = self._accounts.accounts.get(account.email)
            account.root_id = known.root_id if known else new_id("0A", 19)
            self._accounts.put_account(account)
            if account.root_id not in self.files:
                self.save(self._root(account.root_id, "My Drive", account.email, None))

    def add_drive(self, drive: SharedDrive) -> None:
        """Register a shared drive, or change its name and members."""
        with self.lock:
            self.drives[drive.id] = drive
            self._database.save("drive", drive.id, asdict(drive))
            if drive.id not in self.files:
                self.save(self._root(drive.id, drive.name, None, drive.id))

    @staticmethod
    def _root(file_id: str, name: str, owner: str | None, drive_id: str | None) -> FileRecord:
        moment = now()
        return FileRecord(file_id, name, FOLDER, None, owner, drive_id, "", moment, moment, owner or "")

    def save(self, record: FileRecord) -> None:
        """Keep a new or changed record."""
        with self.lock:
            self.files[record.id] = record
            self._database.save("file", record.id, asdict(record))
            if self.reserved.get(record.id) == "free":
                self._reserved_as(record.id, "used")  # an id never serves twice, not even after deletion

    def remove(self, record: FileRecord) -> None:
        """Delete for good, with everything below it."""
        with self.lock:
            for child in [child for child in self.files.values() if child.parent == record.id]:
                self.remove(child)
            self.files.pop(record.id, None)
            self.ghosts = [*self.ghosts[-50:], record]
            self._database.delete("file", record.id)
            if record.content:
                (self.blobs / record.content.blob).unlink(missing_ok=True)

    def reserve(self, ids: list[str]) -> None:
        """Remember ids handed out by generateIds."""
        with self.lock:
            for file_id in ids:
                self._reserved_as(file_id, "free")

    def _reserved_as(self, file_id: str, state: str) -> None:
        self.reserved[file_id] = state
        self._database.save("reserved", file_id, state)

    def ancestors(self, record: FileRecord) -> Iterator[FileRecord]:
        """The record itself, its folder, that folder's folder …"""
        step: FileRecord | None = record
        while step is not None:
            yield step
            step = self.files.get(step.parent) if step.parent else None

    def in_trash(self, record: FileRecord) -> bool:
        """Whether it or a folder above it was trashed."""
        return any(step.trashed for step in self.ancestors(record))

    # -- who may what ----------------------------------------------------------------------------------------

    def role(self, caller: Caller, record: FileRecord) -> str:
        """The caller's strongest role on a file; "" for none."""
        if record.drive_id:
            best = self.drives[record.drive_id].members.get(caller.email, "")
        else:
            best = "owner" if record.owner == caller.email else ""
        for step in self.ancestors(record):
            if not record.drive_id and step.owner == caller.email and step.parent is not None:
                best = max(
                    best, "organizer", key=lambda role: _RANK[role]
                )  # a folder's owner rules what is in it
            for permission in step.permissions.values():
                if permission["email"] == caller.email:
                    best = max(best, permission["role"], key=lambda role: _RANK[role])
        return best

    def visible(self, caller: Caller, record: FileRecord) -> bool:
        """Whether this caller, through this client and scope, may know of the file."""
        if not self.role(caller, record):
            return False
        return caller.sees_everything or record.app == caller.client_id

    def resolve(self, caller: Caller, file_id: str) -> str:
        """The id behind the alias `root`."""
        return self._accounts.accounts[caller.email].root_id if file_id == "root" else file_id

    def find(self, caller: Caller, file_id: str, all_drives: bool) -> FileRecord:
        """A file that the caller may see, or ApiError 404; shared drives need supportsAllDrives=true."""
        record = self.files.get(self.resolve(caller, file_id))
        if record is None or not self.visible(caller, record) or (record.drive_id and not all_drives):
            raise not_found(file_id)
        return record

    def find_parent(self, caller: Caller, file_id: str | None, all_drives: bool) -> FileRecord:
        """The folder to put something into. Roots are accepted even where drive.file hides them."""
        record = self.files.get(self.resolve(caller, file_id or "root"))
        if record is None or not self.role(caller, record) or (record.drive_id and not all_drives):
            raise not_found(file_id or "root")
        if record.parent is not None and not self.visible(caller, record):
            raise not_found(file_id or "root")
        if record.mime_type != FOLDER:
            raise forbidden("The specified parent is not a folder.", "parentNotAFolder")
        self.require(caller, record, "writer", "The user does not have sufficient permissions for this file.")
        return record

    def require(self, caller: Caller, record: FileRecord, role: str, message: str = "") -> None:
        """ApiError 403 unless the caller's role on the file is at least this one."""
        if _RANK[self.role(caller, record)] < _RANK[role]:
            raise forbidden(message or "The user does not have sufficient permissions for this file.")

    def may(self, caller: Caller, record: FileRecord, role: str) -> bool:
        """The same question, for `capabilities`."""
        return _RANK[self.role(caller, record)] >= _RANK[role]

    @staticmethod
    def role_to_trash(record: FileRecord) -> str:
        """Contributors of a shared drive may not trash; in My Drive whoever may write the folder may."""
        return "fileOrganizer" if record.drive_id else "organizer"

    # -- room ------------------------------------------------------------------------------------------------

    def usage(self, email: str) -> tuple[int, int]:
        """Bytes that count against an account's quota: all (trash included), and those in the trash."""
        with self.lock:
            owned = [record for record in self.files.values() if record.owner == email and record.content]
            return sum(record.size for record in owned), sum(
                record.size for record in owned if self.in_trash(record)
            )

    def require_room(self, owner: str | None, drive_id: str | None, more: int) -> None:
        """ApiError 403 storageQuotaExceeded when `more` bytes do not fit, or the owner can hold none."""
        if drive_id or owner is None:
            return
        account = self._accounts.accounts[owner]
        if account.kind == "service":
            raise quota_exceeded(NO_SERVICE_ACCOUNT_STORAGE)
        if account.quota is not None and self.usage(owner)[0] + more > account.quota:
            raise quota_exceeded()

    def show_hidden(self) -> None:
        """Let lists show everything from now on."""
        with self.lock:
            for record in self.files.values():
                if record.listed_after:
                    record.listed_after = 0.0
                    self.save(record)

    def listed(self, record: FileRecord) -> bool:
        """Whether lists show the file already (they lag behind creation)."""
        return record.listed_after <= time.time()
