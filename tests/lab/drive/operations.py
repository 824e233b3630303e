"""What can be done to files, as rules over the tree: create, update, trash, delete. No HTTP here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from .accounts import Accounts, Caller
from .discovery import Api
from .errors import ApiError, forbidden, invalid, not_found
from .tree import FOLDER, Content, FileRecord, Tree, new_id, now

_WRITABLE = frozenset(
    "id name mimeType parents createdTime modifiedTime properties appProperties description starred "
    "originalFilename trashed folderColorRgb contentHints viewersCanCopyContent writersCanShare "
    "copyRequiresWriterPermission viewedByMeTime "
    "contentRestrictions".split()
)
_EXTRA = ("description", "starred", "originalFilename", "folderColorRgb")


class Operations:
    """The methods of the files collection. Every method raises ApiError where Drive refuses."""

    def __init__(self, tree: Tree, accounts: Accounts, api: Api) -> None:
        self._tree = tree
        self._accounts = accounts
        self._api = api

    def check_metadata(self, metadata: Mapping[str, Any], new: bool) -> None:
        """Refuse unknown and read-only fields."""
        for name in metadata:
            if name not in self._api.file_fields:
                raise ApiError(
                    400,
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.',
                    "badRequest",
                )
            if name not in _WRITABLE | {"kind"} or (name in ("id", "parents") and not new):
                message = "The resource body includes fields which are not directly writable."
                raise forbidden(message, "fieldNotWritable")

    def draft(
        self,
        caller: Caller,
        query: Mapping[str, str],
        metadata: Mapping[str, Any],
        media_type: str,
        size: int | None,
    ) -> FileRecord:
        """A record ready to be committed, after every check that creating it must pass; `size` None without
        content.
        """
        self._writing(caller)
        self.check_metadata(metadata, new=True)
        parents = metadata.get("parents") or []
        if len(parents) > 1:
            raise forbidden("A file must have exactly one parent.", "teamDrivesParentLimit")
        file_id = metadata.get("id")
        if file_id is not None:
            self._check_id(file_id)
        parent = self._tree.find_parent(caller, parents[0] if parents else None, all_drives(query))
        mime_type = metadata.get("mimeType") or media_type or "application/octet-stream"
        if mime_type != FOLDER:
            self._tree.require_room(None if parent.drive_id else caller.email, parent.drive_id, size or 0)
        moment = now()
        record = FileRecord(
            id=file_id or new_id(),
            name=str(metadata.get("name") or "Untitled"),
            mime_type=mime_type,
            parent=parent.id,
            owner=None if parent.drive_id else caller.email,
            drive_id=parent.drive_id,
            app=caller.client_id,
            created=_time(metadata, "createdTime") or moment,
            modified=_time(metadata, "modifiedTime") or moment,
            modified_by=caller.email,
            revision=new_id("0B", 51),
        )
        self._apply(record, caller, metadata)
        return record

    def commit(self, record: FileRecord, content: Content | None) -> FileRecord:
        """Let a draft appear, unless its id was taken, its folder vanished or the room ran out meanwhile."""
        tree = self._tree
        with tree.lock:
            if record.id in tree.files:
                raise _id_in_use()
            if record.parent not in tree.files:
                raise not_found(record.parent or "")
            if record.mime_type != FOLDER:
                tree.require_room(record.owner, record.drive_id, content.size if content else 0)
                record.content = content
            tree.save(record)
            return record

    def change(
        self,
        caller: Caller,
        query: Mapping[str, str],
        file_id: str,
        metadata: Mapping[str, Any],
        content: Content | None,
        media_type: str = "",
        size: int | None = None,
        check_only: bool = False,
    ) -> FileRecord:
        """Update metadata, place or content. With `check_only`, only find out whether it would be allowed."""
        tree = self._tree
        self._writing(caller)
        self.check_metadata(metadata, new=False)
        with tree.lock:
            record = replace(tree.find(caller, file_id, all_drives(query)))
            tree.require(caller, record, "writer")
            if record.parent is None:
                raise forbidden("This file cannot be modified by the user.", "cannotModifyRoot")
            if "trashed" in metadata and metadata["trashed"] != record.trashed:
                tree.require(caller, record, tree.role_to_trash(record))
            coming = content.size if content else size
            if coming is not None:
                if record.mime_type == FOLDER:
                    raise forbidden("A folder has no content.", "cannotUploadToFolder")
                tree.require_room(record.owner, record.drive_id, coming - record.size)
            self._move(record, caller, query)
            if check_only:
                return record
            self._apply(record, caller, metadata)
            if content:
                if record.content:
                    (tree.blobs / record.content.blob).unlink(missing_ok=True)
                record.content, record.revision = content, new_id("0B", 51)
                record.mime_type = metadata.get("mimeType") or media_type or record.mime_type
            if content or metadata:
                record.modified = _time(metadata, "modifiedTime") or now()
                record.modified_by = caller.email
            record.version += 1
            tree.save(record)
            return record

    def delete(self, caller: Caller, query: Mapping[str, str], file_id: str) -> FileRecord:
        """Delete permanently: an owner in My Drive, an organizer in a shared drive."""
        self._writing(caller)
        with self._tree.lock:
            record = self._tree.find(caller, file_id, all_drives(query))
            if record.parent is None:
                raise forbidden("This file cannot be deleted.", "cannotDeleteRoot")
            self._tree.require(caller, record, "organizer" if record.drive_id else "owner")
            self._tree.remove(record)
            return record

    def empty_trash(self, caller: Caller, drive_id: str | None) -> None:
        """Delete everything in the caller's trash, or a shared drive's."""
        self._writing(caller)
        with self._tree.lock:
            if drive_id and self._tree.drives[drive_id].members.get(caller.email) != "organizer":
                raise forbidden("The user does not have sufficient permissions for this shared drive.")
            for record in [record for record in self._tree.files.values() if record.trashed]:
                mine = record.drive_id == drive_id if drive_id else record.owner == caller.email
                if mine and record.id in self._tree.files:
                    self._tree.remove(record)

    def generate_ids(self, caller: Caller, count: int) -> list[str]:
        """Ids for later creates."""
        self._writing(caller)
        if not 1 <= count <= 1000:
            raise invalid("count", "Invalid value. Must be between 1 and 1000.")
        ids = [new_id() for _ in range(count)]
        self._tree.reserve(ids)
        return ids

    # -- details ---------------------------------------------------------------------------------------------

    @staticmethod
    def _writing(caller: Caller) -> None:
        if not caller.may_write:
            message = "Insufficient Permission: Request had insufficient authentication scopes."
            raise forbidden(message, "insufficientPermissions")

    def _check_id(self, file_id: str) -> None:
        state = self._tree.reserved.get(file_id)
        if state == "used" or file_id in self._tree.files:
            raise _id_in_use()
        if state is None:
            raise invalid("file.id", "The provided file ID is not usable.")

    def _apply(self, record: FileRecord, caller: Caller, metadata: Mapping[str, Any]) -> None:
        record.name = str(metadata.get("name") or record.name)
        for name in _EXTRA:
            if name in metadata:
                record.extra = {**record.extra, name: metadata[name]}
        record.properties = _merged(record.properties, metadata.get("properties"))
        if "appProperties" in metadata:
            own = _merged(record.app_properties.get(caller.client_id, {}), metadata["appProperties"])
            record.app_properties = {**record.app_properties, caller.client_id: own}
        if "trashed" in metadata:
            record.trashed = bool(metadata["trashed"])
            record.trashed_time = now() if record.trashed else None

    def _move(self, record: FileRecord, caller: Caller, query: Mapping[str, str]) -> None:
        add = [item for item in query.get("addParents", "").split(",") if item]
        remove = [
            self._tree.resolve(caller, item) for item in query.get("removeParents", "").split(",") if item
        ]
        if not add and not remove:
            return
        target = self._tree.find_parent(caller, add[0], all_drives(query)) if add else None
        if target is None:
            if record.parent in remove:
                raise forbidden("A file must have exactly one parent.", "fileMustHaveOneParent")
            return
        if len(add) > 1 or (record.parent not in remove and target.id != record.parent):
            raise forbidden("Increasing the number of parents is not allowed", "cannotAddParent")
        if any(step.id == record.id for step in self._tree.ancestors(target)):
            raise forbidden("This would make a folder its own ancestor.", "cyclicMembershipsNotAllowed")
        record.parent, record.drive_id = target.id, target.drive_id


def all_drives(query: Mapping[str, str]) -> bool:
    """Whether the request says that it knows about shared drives."""
    return "true" in (query.get("supportsAllDrives"), query.get("supportsTeamDrives"))


def _id_in_use() -> ApiError:
    return ApiError(409, "A file already exists with the provided ID.", "fileIdInUse")


def _time(metadata: Mapping[str, Any], name: str) -> str | None:
    if metadata.get(name) is None:
        return None
    try:
        moment = datetime.fromisoformat(str(metadata[name]))
    except ValueError as error:
        raise invalid(name) from error
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _merged(old: Mapping[str, str], new: Mapping[str, str | None] | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**old, **(new or {})}
    return {name: value for name, value in merged.items() if value is not None}
