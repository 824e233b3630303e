"""Records as the API shows them: every field of a file resource, projected to what the caller asked for."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from .accounts import Caller
from .discovery import Api
from .fields import project
from .tree import FOLDER, FileRecord, SharedDrive, Tree

_FILE_DEFAULT = "kind,id,name,mimeType,driveId,teamDriveId"


def user(email: str, caller: Caller | None = None) -> dict[str, Any]:
    """A User resource."""
    return {
        "kind": "drive#user",
        "displayName": email.split("@")[0],
        "me": caller is not None and caller.email == email,
        "permissionId": permission_id(email),
        "emailAddress": email,
    }


def permission_id(email: str) -> str:
    """A stable number for an account, as Drive has."""
    return str(int.from_bytes(email.encode()) % 10**20).zfill(20)


def permissions(tree: Tree, record: FileRecord) -> list[dict[str, Any]]:
    """Who has which role on a file, its own and inherited ones."""
    roles: dict[str, str] = {}
    if record.drive_id:
        roles |= tree.drives[record.drive_id].members
    for step in reversed(list(tree.ancestors(record))):
        roles |= {permission["email"]: permission["role"] for permission in step.permissions.values()}
    if record.owner:
        roles[record.owner] = "owner"
    return [
        {
            "kind": "drive#permission",
            "id": permission_id(email),
            "type": "user",
            "emailAddress": email,
            "role": role,
            "displayName": email.split("@")[0],
            "deleted": False,
            "pendingOwner": False,
        }
        for email, role in roles.items()
    ]


def _capabilities(tree: Tree, caller: Caller, record: FileRecord) -> dict[str, bool]:
    write, folder = tree.may(caller, record, "writer"), record.mime_type == FOLDER
    trash = tree.may(caller, record, tree.role_to_trash(record)) and record.parent is not None
    delete = (
        tree.may(caller, record, "organizer" if record.drive_id else "owner") and record.parent is not None
    )
    # Only told in shared drives: what may be done with the files of a folder.
    inner = (
        {
            "canDeleteChildren": folder and tree.may(caller, record, "organizer"),
            "canTrashChildren": folder and tree.may(caller, record, tree.role_to_trash(record)),
        }
        if record.drive_id
        else {}
    )
    return inner | {
        "canAddChildren": write and folder,
        "canDelete": delete,
        "canDownload": not folder,
        "canEdit": write,
        "canListChildren": folder,
        "canModifyContent": write and not folder,
        "canReadRevisions": not folder,
        "canRename": write,
        "canTrash": trash,
        "canUntrash": trash,
    }


def file_resource(tree: Tree, caller: Caller, record: FileRecord) -> dict[str, Any]:
    """Every field that this emulator knows of a file. Sizes are strings, as int64 is in Google's JSON."""
    trashed = tree.in_trash(record)
    shown: dict[str, Any] = {
        "kind": "drive#file",
        "id": record.id,
        "name": record.name,
        "mimeType": record.mime_type,
        "starred": False,
        "trashed": trashed,
        "explicitlyTrashed": record.trashed,
        "spaces": ["drive"],
        "version": str(record.version),
        "createdTime": record.created,
        "modifiedTime": record.modified,
        "modifiedByMe": record.modified_by == caller.email,
        "ownedByMe": record.owner == caller.email,
        "lastModifyingUser": user(record.modified_by, caller),
        "capabilities": _capabilities(tree, caller, record),
        "isAppAuthorized": record.app == caller.client_id,
        "quotaBytesUsed": str(record.size),
        "webViewLink": f"https://drive.google.com/file/d/{record.id}/view",
        "permissionIds": [permission["id"] for permission in permissions(tree, record)],
        **record.extra,
    }
    if record.properties:
        shown["properties"] = record.properties
    if record.app_properties.get(caller.client_id):
        shown["appProperties"] = record.app_properties[caller.client_id]
    if record.parent and (caller.sees_everything or _parent_visible(tree, caller, record)):
        shown["parents"] = [record.parent]
    if record.trashed_time:
        shown["trashedTime"] = record.trashed_time
    if record.drive_id:
        shown |= {"driveId": record.drive_id, "teamDriveId": record.drive_id}
    else:
        shown |= {
            "owners": [user(record.owner or "", caller)],
            "permissions": permissions(tree, record),
            "shared": len(shown["permissionIds"]) > 1,
        }
    if record.content:
        shown |= {
            "size": str(record.size),
            "md5Checksum": record.content.md5,
            "sha1Checksum": record.content.sha1,
            "sha256Checksum": record.content.sha256,
            "headRevisionId": record.revision,
            "originalFilename": record.extra.get("originalFilename", record.name),
            "fileExtension": PurePosixPath(record.name).suffix.lstrip("."),
            "fullFileExtension": "".join(PurePosixPath(record.name).suffixes).lstrip("."),
            "webContentLink": f"https://drive.google.com/uc?id={record.id}&export=download",
        }
    return shown


def _parent_visible(tree: Tree, caller: Caller, record: FileRecord) -> bool:
    parent = tree.files.get(record.parent or "")
    return parent is not None and (parent.parent is None or tree.visible(caller, parent))


def query_view(tree: Tree, caller: Caller, record: FileRecord, root_id: str) -> dict[str, Any]:
    """The terms of `q` for one file."""
    roles = [(permission["emailAddress"], permission["role"]) for permission in permissions(tree, record)]
    writers = {email for email, role in roles if role not in ("reader", "commenter")}
    readers = {email for email, _ in roles}
    alias = {"root"} if record.parent == root_id else set()
    return {
        "name": record.name,
        "mimeType": record.mime_type,
        "createdTime": datetime.fromisoformat(record.created),
        "modifiedTime": datetime.fromisoformat(record.modified),
        "viewedByMeTime": None,
        "trashed": tree.in_trash(record),
        "starred": bool(record.extra.get("starred")),
        "sharedWithMe": record.drive_id is None and record.owner != caller.email,
        "visibility": "limited",
        "parents": ({record.parent} if record.parent else set()) | alias,
        "owners": _with_me({record.owner} if record.owner else set(), caller),
        "writers": _with_me(writers, caller),
        "readers": _with_me(readers, caller),
        "properties": record.properties,
        "appProperties": record.app_properties.get(caller.client_id, {}),
    }


def _with_me(emails: set[str], caller: Caller) -> set[str]:
    return emails | ({"me"} if caller.email in emails else set())


def drive_resource(drive: SharedDrive) -> dict[str, Any]:
    """A shared drive."""
    return {
        "kind": "drive#drive",
        "id": drive.id,
        "name": drive.name,
        "createdTime": drive.created,
        "hidden": False,
    }


class Renderer:
    """Applies `fields`, or the default that Drive answers with when it is absent."""

    def __init__(self, api: Api) -> None:
        self._schemas = api.schemas

    def show(
        self, value: dict[str, Any], resource: str, fields: str | None, default: str = _FILE_DEFAULT
    ) -> dict[str, Any]:
        """The resource cut down to the mask; ApiError 400 for a mask that does not fit it."""
        projected: dict[str, Any] = project(value, self._schemas.parse(fields or default, resource))
        return projected

    def check(self, fields: str | None, resource: str) -> None:
        """Refuse a bad mask before any work is done."""
        if fields:
            self._schemas.parse(fields, resource)
