"""/_lab: the emulator's back door for tests. Never part of what a Drive client sees, and unauthenticated:
bind to loopback or a lab network only.

GET  /_lab/log      the request log, NDJSON; DELETE empties it
GET  /_lab/files    every file of every account, with path, owner, size, hashes
GET  /_lab/state    accounts, clients, grants (no secrets), shared drives
POST /_lab/state    register: {"users": [{"email", "quota", "delegations"}],
                    "clients": [{"id", "secret", "device"}], "consent": {attributes of Consent: value},
                    "refresh_tokens": [{"token", "email", "client_id", "scopes", "revoked"}],
                    "service_accounts": [{"email", "public_key": {"n", "e"}}],
                    "shared_drives": [{"id", "name", "members": {email: role}}], "end_access_tokens": true,
                    "page_limit": the most files on a page of a list, "lists_catch_up": true}
GET/POST/DELETE /_lab/faults   rules (see faults.py)
POST /_lab/damage   {"name" or "id", "kind": "flip" or "truncate", "rehash": false}: spoil stored bytes; with
                    `rehash`, Drive's size and hashes follow (a replacement), else they tell of the original
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .accounts import Account, Accounts, Grant
from .blobs import damage, measure
from .consent import Consent
from .errors import ApiError
from .exchange import Exchange, Response, Slice, json_response
from .faults import Faults
from .listing import Listing
from .log import RequestLog
from .tree import FileRecord, SharedDrive, Tree, new_id, now


class Door:
    """Answers everything below /_lab."""

    def __init__(
        self,
        tree: Tree,
        accounts: Accounts,
        consent: Consent,
        listing: Listing,
        faults: Faults,
        log: RequestLog,
    ) -> None:
        self._tree, self._accounts, self._consent, self._listing = tree, accounts, consent, listing
        self._faults, self._log = faults, log

    def handle(self, exchange: Exchange) -> Response:
        """Dispatch on method and path."""
        match exchange.method, exchange.path:
            case "GET", "/_lab/log":
                self._log.settle()
                path = self._log.path
                return Response(
                    200, Slice(path, 0, path.stat().st_size), {"Content-Type": "application/x-ndjson"}
                )
            case "DELETE", "/_lab/log":
                self._log.settle()
                self._log.clear()
            case "GET", "/_lab/files":
                return json_response(self._files())
            case "GET", "/_lab/state":
                return json_response(self._state())
            case "POST", "/_lab/state":
                self._register(exchange.body.read_json())
                return json_response(self._state())
            case "GET", "/_lab/faults":
                return json_response(self._faults.summary())
            case "POST", "/_lab/faults":
                wish = exchange.body.read_json()
                for rule in wish.get("rules", [wish]):
                    self._faults.add(rule)
            case "DELETE", "/_lab/faults":
                self._faults.clear()
            case "POST", "/_lab/damage":
                return json_response(self._damage(exchange.body.read_json()))
            case method, path:
                raise ApiError(404, f"{method} {path} is not part of the emulator's back door.")
        return json_response({})

    def _state(self) -> dict[str, Any]:
        drives = [asdict(drive) for drive in self._tree.drives.values()]
        return self._accounts.summary() | {"shared_drives": drives}

    def _register(self, wish: dict[str, Any]) -> None:
        for kind, raws in (("user", wish.get("users", [])), ("service", wish.get("service_accounts", []))):
            for raw in raws:
                known = self._accounts.accounts.get(raw["email"])
                self._tree.add_account(Account(**((asdict(known) if known else {"kind": kind}) | raw)))
        for raw in wish.get("clients", []):
            self._accounts.put_client(raw["id"], raw["secret"], raw.get("device", False))
        for name, value in wish.get("consent", {}).items():
            setattr(self._consent, name, value)
        for raw in wish.get("refresh_tokens", []):
            grant = self._accounts.grants.get(raw["token"])
            self._accounts.put_grant(Grant(**((asdict(grant) if grant else {}) | raw)))
        for raw in wish.get("shared_drives", []):
            drive_id = raw.get("id") or new_id("0A", 19)
            self._tree.add_drive(SharedDrive(drive_id, raw["name"], now(), raw.get("members", {})))
        if wish.get("end_access_tokens"):
            self._accounts.end_all_tokens()
        if wish.get("lists_catch_up"):
            self._tree.show_hidden()
        self._listing.page_limit = wish.get("page_limit", self._listing.page_limit)

    def _files(self) -> list[dict[str, Any]]:
        with self._tree.lock:
            return [
                self._describe(record) for record in self._tree.files.values() if record.parent is not None
            ]

    def _describe(self, record: FileRecord) -> dict[str, Any]:
        path = "/".join(step.name for step in reversed(list(self._tree.ancestors(record))))
        shown: dict[str, Any] = {
            "id": record.id,
            "name": record.name,
            "path": path,
            "parent": record.parent,
            "mimeType": record.mime_type,
            "owner": record.owner,
            "driveId": record.drive_id,
            "app": record.app,
            "trashed": self._tree.in_trash(record),
            "createdTime": record.created,
        }
        if record.content:
            hashes = {"md5": record.content.md5, "sha1": record.content.sha1, "sha256": record.content.sha256}
            shown |= {"size": record.size, "blob": record.content.blob} | hashes
        return shown

    def _damage(self, wish: dict[str, Any]) -> dict[str, Any]:
        kind = wish.get("kind", "flip")
        if kind not in ("flip", "truncate"):
            raise ApiError(400, "kind is flip or truncate.")
        with self._tree.lock:
            for record in self._tree.files.values():
                if (
                    record.content
                    and record.size
                    and (record.id == wish.get("id") or record.name == wish.get("name"))
                ):
                    path = self._tree.blobs / record.content.blob
                    damage(path, kind)
                    if wish.get("rehash"):
                        record.content = measure(path, record.content.blob)
                        self._tree.save(record)
                    return self._describe(record)
        raise ApiError(404, f"No stored object with bytes is called {wish.get('name') or wish.get('id')!r}.")
