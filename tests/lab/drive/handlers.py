"""The API's methods as request handlers: from an authenticated exchange to an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from secrets import token_hex
from typing import Any

from .accounts import Accounts
from .blobs import measure
from .errors import ApiError, forbidden, invalid, not_found
from .exchange import Exchange, Response, Slice, json_response
from .listing import Listing
from .operations import Operations
from .rendering import Renderer, drive_resource, file_resource, permission_id, permissions, user
from .tree import FOLDER, Content, FileRecord, Tree

Handler = Callable[[Exchange], Response]
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Handlers:
    """One method per API method that this emulator knows; the others answer 501."""

    def __init__(
        self, tree: Tree, accounts: Accounts, operations: Operations, listing: Listing, renderer: Renderer
    ) -> None:
        self._listing = listing
        self._tree, self._accounts, self._operations, self._renderer = tree, accounts, operations, renderer
        self._methods: dict[str, Handler] = {
            "about.get": self._about,
            "files.list": self._list,
            "files.get": self._get,
            "files.create": self._create,
            "files.update": self._update,
            "files.delete": self._delete,
            "files.emptyTrash": self._empty_trash,
            "files.generateIds": self._generate_ids,
            "drives.list": self._drives,
            "drives.get": self._drive,
            "permissions.list": self._permissions,
            "permissions.get": self._permission,
            "permissions.create": self._share,
            "permissions.delete": self._unshare,
        }

    def handle(self, method_id: str, exchange: Exchange) -> Response:
        """Answer a request to one of the API's methods."""
        handler = self._methods.get(method_id)
        if handler is None:
            raise ApiError(501, f"This emulator does not know {method_id}.", "notImplemented")
        return handler(exchange)

    def show(self, exchange: Exchange, record: FileRecord) -> Response:
        """A file as the answer to create, update and uploads."""
        resource = file_resource(self._tree, exchange.who, record)
        return json_response(self._renderer.show(resource, "File", exchange.query.get("fields")))

    # -- about -----------------------------------------------------------------------------------------------

    def _about(self, exchange: Exchange) -> Response:
        fields = exchange.query.get("fields")
        if not fields:
            raise ApiError(400, "The 'fields' parameter is required for this method.", "required", "fields")
        account = self._accounts.accounts[exchange.who.email]
        used, trash = self._tree.usage(account.email)
        quota = {"usage": str(used), "usageInDrive": str(used), "usageInDriveTrash": str(trash)}
        if account.kind == "service":
            quota["limit"] = "0"
        elif account.quota is not None:
            quota["limit"] = str(account.quota)
        about = {
            "kind": "drive#about",
            "user": user(account.email, exchange.who),
            "storageQuota": quota,
            "maxUploadSize": str(5 * 1024**4),
            "appInstalled": False,
            "canCreateDrives": False,
            "canCreateTeamDrives": False,
            "importFormats": {},
            "exportFormats": {},
            "maxImportSizes": {},
            "folderColorPalette": [],
        }
        return json_response(self._renderer.show(about, "About", fields))

    # -- files -----------------------------------------------------------------------------------------------

    def _list(self, exchange: Exchange) -> Response:
        fields = exchange.query.get("fields")
        self._renderer.check(fields, "FileList")
        page = self._listing.page(exchange.who, exchange.query, exchange.effects.stale)
        answer: dict[str, Any] = {"kind": "drive#fileList", "incompleteSearch": False}
        if page.next_token:
            answer["nextPageToken"] = page.next_token
        with self._tree.lock:
            answer["files"] = [file_resource(self._tree, exchange.who, record) for record in page.records]
        default = "kind,incompleteSearch,nextPageToken,files(kind,id,name,mimeType,driveId,teamDriveId)"
        return json_response(self._renderer.show(answer, "FileList", fields, default))

    def _get(self, exchange: Exchange) -> Response:
        media = exchange.query.get("alt") == "media"
        # Content comes from shared drives without supportsAllDrives too: rclone relies on it.
        record = self._tree.find(exchange.who, exchange.parameters["fileId"], exchange.all_drives or media)
        if media:
            return self._download(exchange, record)
        if record.parent is None and not exchange.who.sees_everything:
            raise not_found(record.id)
        return self.show(exchange, record)

    def _download(self, exchange: Exchange, record: FileRecord) -> Response:
        if record.content is None:
            message = "Only files with binary content can be downloaded. Use Export with Docs Editors files."
            raise forbidden(message, "fileNotDownloadable")
        path, size = self._tree.blobs / record.content.blob, record.content.size
        size = min(size, path.stat().st_size)  # differs only where damage was done on purpose
        headers = {"Content-Type": record.mime_type, "Accept-Ranges": "bytes"}
        wanted = exchange.headers.get("Range")
        match = _RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
        if match is None or match.groups() == ("", ""):
            return Response(200, Slice(path, 0, size), headers)
        first, last = match.groups()
        if first:
            start, end = int(first), min(int(last), size - 1) if last else size - 1
        else:
            start, end = max(0, size - int(last)), size - 1
        if start >= size or end < start:
            raise ApiError(
                416,
                "Request range not satisfiable",
                "requestedRangeNotSatisfiable",
                "Range",
                {"Content-Range": f"bytes */{size}"},
            )
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        return Response(206, Slice(path, start, end - start + 1), headers)

    def _create(self, exchange: Exchange) -> Response:
        metadata = exchange.body.read_json()
        exchange.target(str(metadata.get("name", "")), str(metadata.get("id", "")))
        self._renderer.check(exchange.query.get("fields"), "File")
        record = self._operations.draft(exchange.who, exchange.query, metadata, "", None)
        content = None
        if record.mime_type != FOLDER:
            content = self._empty_content()
        record.hide(exchange.effects.hide_seconds)
        record = self._operations.commit(record, content)
        exchange.file_id = record.id
        return self.show(exchange, record)

    def _empty_content(self) -> Content:
        path = self._tree.blobs / token_hex(16)
        path.touch()
        return measure(path, path.name)

    def _update(self, exchange: Exchange) -> Response:
        metadata = exchange.body.read_json()
        self._renderer.check(exchange.query.get("fields"), "File")
        file_id = exchange.parameters["fileId"]
        record = self._operations.change(exchange.who, exchange.query, file_id, metadata, None)
        return self.show(exchange, record)

    def _delete(self, exchange: Exchange) -> Response:
        self._operations.delete(exchange.who, exchange.query, exchange.parameters["fileId"])
        return Response(204)

    def _empty_trash(self, exchange: Exchange) -> Response:
        self._operations.empty_trash(exchange.who, exchange.query.get("driveId"))
        return Response(204)

    def _generate_ids(self, exchange: Exchange) -> Response:
        ids = self._operations.generate_ids(exchange.who, int(exchange.query.get("count", "10")))
        answer = {"kind": "drive#generatedIds", "space": exchange.query.get("space", "drive"), "ids": ids}
        return json_response(self._renderer.show(answer, "GeneratedIds", exchange.query.get("fields"), "*"))

    # -- shared drives ---------------------------------------------------------------------------------------

    def _drives(self, exchange: Exchange) -> Response:
        mine = [drive for drive in self._tree.drives.values() if exchange.who.email in drive.members]
        answer = {"kind": "drive#driveList", "drives": [drive_resource(drive) for drive in mine]}
        default = "kind,nextPageToken,drives(kind,id,name)"
        return json_response(self._renderer.show(answer, "DriveList", exchange.query.get("fields"), default))

    def _drive(self, exchange: Exchange) -> Response:
        drive = self._tree.drives.get(exchange.parameters["driveId"])
        if drive is None or exchange.who.email not in drive.members:
            raise ApiError(
                404, f"Shared drive not found: {exchange.parameters['driveId']}", "notFound", "driveId"
            )
        answer = drive_resource(drive)
        return json_response(
            self._renderer.show(answer, "Drive", exchange.query.get("fields"), "kind,id,name")
        )

    # -- permissions -----------------------------------------------------------------------------------------

    def _permissions(self, exchange: Exchange) -> Response:
        record = self._tree.find(exchange.who, exchange.parameters["fileId"], exchange.all_drives)
        answer = {"kind": "drive#permissionList", "permissions": permissions(self._tree, record)}
        default = "kind,permissions(kind,id,type,role)"
        return json_response(
            self._renderer.show(answer, "PermissionList", exchange.query.get("fields"), default)
        )

    def _permission(self, exchange: Exchange) -> Response:
        record = self._tree.find(exchange.who, exchange.parameters["fileId"], exchange.all_drives)
        for permission in permissions(self._tree, record):
            if permission["id"] == exchange.parameters["permissionId"]:
                return self._show_permission(exchange, permission)
        raise ApiError(
            404, f"Permission not found: {exchange.parameters['permissionId']}.", "notFound", "permissionId"
        )

    def _show_permission(self, exchange: Exchange, permission: dict[str, Any]) -> Response:
        fields = exchange.query.get("fields")
        return json_response(self._renderer.show(permission, "Permission", fields, "kind,id,type,role"))

    def _share(self, exchange: Exchange) -> Response:
        wish = exchange.body.read_json()
        if wish.get("type") != "user" or wish.get("role") not in ("reader", "commenter", "writer"):
            raise invalid("permission", "This emulator shares with users, as reader, commenter or writer.")
        with self._tree.lock:
            record = self._tree.find(exchange.who, exchange.parameters["fileId"], exchange.all_drives)
            self._tree.require(exchange.who, record, "organizer")
            email = str(wish.get("emailAddress", ""))
            record.permissions = record.permissions | {
                permission_id(email): {"email": email, "role": wish["role"]}
            }
            self._tree.save(record)
        shown = {"kind": "drive#permission", "id": permission_id(email), "type": "user", "role": wish["role"]}
        return self._show_permission(exchange, shown | {"emailAddress": email})

    def _unshare(self, exchange: Exchange) -> Response:
        with self._tree.lock:
            record = self._tree.find(exchange.who, exchange.parameters["fileId"], exchange.all_drives)
            self._tree.require(exchange.who, record, "organizer")
            record.permissions = {
                key: value
                for key, value in record.permissions.items()
                if key != exchange.parameters["permissionId"]
            }
            self._tree.save(record)
        return Response(204)
