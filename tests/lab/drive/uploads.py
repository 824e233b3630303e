"""What an upload is to become, and uploads in one request: media and multipart.

Protocol: https://developers.google.com/workspace/drive/api/guides/manage-uploads. Sessions are in
resumable.py.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from .accounts import Caller
from .blobs import MultipartReader, adopt, receive
from .errors import ApiError
from .exchange import Exchange, Response
from .operations import Operations
from .tree import Content, FileRecord, Tree

Show = Callable[[Exchange, FileRecord], Response]


@dataclass(frozen=True)
class Wish:
    """A file to be made (`file_id` None) or to get new content, by whom, and with which parameters."""

    caller: Caller
    query: dict[str, str]
    metadata: dict[str, Any]
    file_id: str | None
    media_type: str
    hide_seconds: float = 0.0

    @classmethod
    def of(cls, exchange: Exchange, metadata: dict[str, Any], media_type: str) -> Wish:
        """What this request wishes for."""
        file_id, hide = exchange.parameters.get("fileId"), exchange.effects.hide_seconds
        return cls(exchange.who, dict(exchange.query), metadata, file_id, media_type, hide)


class Uploads:
    """Receives content and hands it over to the tree."""

    def __init__(self, tree: Tree, operations: Operations, root: Path, show: Show) -> None:
        self._tree, self._operations, self._show = tree, operations, show
        self.folder = root / "uploads"
        self.folder.mkdir(parents=True, exist_ok=True)

    def media(self, exchange: Exchange) -> Response:
        """uploadType=media: nothing but content."""
        exchange.target("")
        wish = Wish.of(exchange, {}, exchange.headers.get("Content-Type", ""))
        self.check(wish, exchange.body.length or 0)
        return self.finish(exchange, wish, self._receive(exchange, exchange.body.read))

    def multipart(self, exchange: Exchange) -> Response:
        """uploadType=multipart: metadata and content in one body."""
        boundary = _parameter(exchange.headers.get("Content-Type", ""), "boundary")
        if not boundary:
            raise ApiError(400, "Missing boundary.", "badRequest")
        reader = MultipartReader(exchange.body.read, boundary)
        if reader.next_part() is None:
            raise ApiError(400, "Missing metadata part.", "badRequest")
        raw = b""
        while block := reader.read_part(65536):
            raw += block
        metadata = _metadata(raw)
        exchange.target(str(metadata.get("name", "")), str(metadata.get("id", "")))
        part = reader.next_part()
        if part is None:
            raise ApiError(400, "Missing media part.", "badRequest")
        wish = Wish.of(exchange, metadata, part.get("content-type", ""))
        self.check(wish, 0)
        content = self._receive(exchange, reader.read_part)
        reader.next_part()
        return self.finish(exchange, wish, content)

    def check(self, wish: Wish, size: int) -> None:
        """Refuse before any content is read what would be refused after it."""
        if wish.file_id is None:
            self._operations.draft(wish.caller, wish.query, wish.metadata, wish.media_type, size)
        else:
            self._operations.change(
                wish.caller, wish.query, wish.file_id, wish.metadata, None, size=size, check_only=True
            )

    def finish(self, exchange: Exchange, wish: Wish, content: Content) -> Response:
        """Let the file appear, or drop the content."""
        try:
            record = self._store(wish, content)
        except ApiError:
            (self._tree.blobs / content.blob).unlink(missing_ok=True)
            raise
        exchange.name, exchange.file_id = record.name, record.id
        return self._show(exchange, record)

    def _store(self, wish: Wish, content: Content) -> FileRecord:
        caller, query, metadata, media_type = wish.caller, wish.query, wish.metadata, wish.media_type
        if wish.file_id is not None:
            return self._operations.change(caller, query, wish.file_id, metadata, content, media_type)
        record = self._operations.draft(caller, query, metadata, media_type, content.size)
        record.hide(wish.hide_seconds)
        return self._operations.commit(record, content)

    def _receive(self, exchange: Exchange, read: Callable[[int], bytes]) -> Content:
        path = self.folder / secrets.token_hex(16)
        path.touch()
        try:
            receive(read, path, exchange.effects.corrupt)
            return adopt(path, self._tree.blobs)
        finally:
            path.unlink(missing_ok=True)


def _metadata(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw) if raw.strip() else {}
    except ValueError as error:
        raise ApiError(400, "Parse Error", "parseError") from error
    if not isinstance(value, dict):
        raise ApiError(400, "Parse Error", "parseError")
    return value


def _parameter(header: str, name: str) -> str:
    message = Message()
    message["Content-Type"] = header
    value = message.get_param(name, "")
    return value if isinstance(value, str) else ""
