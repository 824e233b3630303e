"""Upload addresses: media, multipart and resumable, for new files and for new content of old ones.

Protocol: https://developers.google.com/workspace/drive/api/guides/manage-uploads.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

from .accounts import Caller
from .blobs import MultipartReader, adopt, receive, round_down, truncate
from .database import Database
from .errors import ApiError, ConnectionDropped, invalid
from .exchange import Exchange, Response
from .operations import Operations
from .tree import FOLDER, Content, FileRecord, Tree

SESSION_SECONDS = 7 * 24 * 3600
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
Show = Callable[[Exchange, FileRecord], Response]


@dataclass
class Session:
    """A resumable upload: what it will create or update, and for whom. Its id is all the authority that it
    needs.
    """

    id: str
    caller: dict[str, Any]
    query: dict[str, str]
    metadata: dict[str, Any]
    file_id: str | None  # None: a new file
    new_id: str
    media_type: str
    total: int | None
    created: float
    result: str | None = None
    hide_seconds: float = 0.0
    caller_scopes: list[str] = field(default_factory=list)

    @property
    def who(self) -> Caller:
        return Caller(
            self.caller["email"], self.caller["kind"], self.caller["client_id"], frozenset(self.caller_scopes)
        )


class Uploads:
    """Everything below /upload/."""

    def __init__(
        self, tree: Tree, operations: Operations, database: Database, root: Path, show: Show
    ) -> None:
        self._tree, self._operations, self._database, self._show = tree, operations, database, show
        self._folder = root / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sessions = {key: Session(**body) for key, body in database.load("session").items()}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def handle(self, exchange: Exchange) -> Response:
        """A request to an upload address; PUT and POST with upload_id continue a session."""
        kind = exchange.query.get("uploadType", "")
        if exchange.operation == "upload.chunk":
            return self._continue(exchange)
        match kind:
            case "media":
                return self._media(exchange)
            case "multipart":
                return self._multipart(exchange)
            case "resumable":
                return self._start(exchange)
            case _:
                raise ApiError(400, "Missing or unknown uploadType.", "badRequest", "uploadType")

    def session_name(self, upload_id: str) -> tuple[str, str]:
        """(file name, file id) that a session is about, for the log and for fault rules."""
        session = self._sessions.get(upload_id)
        if session is None:
            return "", ""
        known = self._tree.files.get(session.file_id or session.result or "")
        name = known.name if known else str(session.metadata.get("name", ""))
        return name, session.file_id or session.result or session.metadata.get("id", "")

    def end_session(self, upload_id: str) -> None:
        """Forget a session, as Drive does after a week or at whim."""
        with self._lock:
            if self._sessions.pop(upload_id, None):
                self._database.delete("session", upload_id)
                (self._folder / upload_id).unlink(missing_ok=True)

    # -- one request -----------------------------------------------------------------------------------------

    def _media(self, exchange: Exchange) -> Response:
        exchange.target("")
        media_type = exchange.headers.get("Content-Type", "")
        self._allowed(exchange, {}, media_type, exchange.body.length or 0)
        return self._finish(exchange, {}, media_type, self._receive(exchange, exchange.body.read))

    def _multipart(self, exchange: Exchange) -> Response:
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
        media = reader.next_part()
        if media is None:
            raise ApiError(400, "Missing media part.", "badRequest")
        media_type = media.get("content-type", "")
        self._allowed(exchange, metadata, media_type, 0)
        content = self._receive(exchange, reader.read_part)
        reader.next_part()
        return self._finish(exchange, metadata, media_type, content)

    def _receive(self, exchange: Exchange, read: Callable[[int], bytes]) -> Content:
        path = self._folder / secrets.token_hex(16)
        path.touch()
        try:
            receive(read, path, exchange.effects.corrupt)
            return adopt(path, self._tree.blobs)
        finally:
            path.unlink(missing_ok=True)

    def _allowed(self, exchange: Exchange, metadata: dict[str, Any], media_type: str, size: int) -> None:
        file_id = exchange.parameters.get("fileId")
        if file_id is None:
            self._operations.draft(exchange.who, exchange.query, metadata, media_type, size)
        else:
            self._operations.change(
                exchange.who, exchange.query, file_id, metadata, None, media_type, size=size, check_only=True
            )

    def _finish(
        self, exchange: Exchange, metadata: dict[str, Any], media_type: str, content: Content
    ) -> Response:
        file_id = exchange.parameters.get("fileId")
        record = self._store(
            exchange.who,
            exchange.query,
            file_id,
            metadata,
            media_type,
            content,
            exchange.effects.hide_seconds,
        )
        exchange.name, exchange.file_id = record.name, record.id
        return self._show(exchange, record)

    def _store(
        self,
        caller: Caller,
        query: dict[str, str],
        file_id: str | None,
        metadata: dict[str, Any],
        media_type: str,
        content: Content,
        hide_seconds: float,
    ) -> FileRecord:
        try:
            if file_id is not None:
                return self._operations.change(caller, query, file_id, metadata, content, media_type)
            record = self._operations.draft(caller, query, metadata, media_type, content.size)
            record.listed_after = time.time() + hide_seconds if hide_seconds else 0.0
            return self._operations.commit(record, content)
        except ApiError:
            (self._tree.blobs / content.blob).unlink(missing_ok=True)
            raise

    # -- resumable -------------------------------------------------------------------------------------------

    def _start(self, exchange: Exchange) -> Response:
        metadata = exchange.body.read_json()
        exchange.target(str(metadata.get("name", "")), str(metadata.get("id", "")))
        declared = exchange.headers.get("X-Upload-Content-Length")
        total = int(declared) if declared and declared.isdigit() else None
        media_type = exchange.headers.get("X-Upload-Content-Type", "")
        self._allowed(exchange, metadata, media_type, total or 0)
        if metadata.get("mimeType") == FOLDER:
            raise invalid("mimeType", "A folder has no content.")
        who = exchange.who
        session = Session(
            id=secrets.token_urlsafe(48),
            caller={"email": who.email, "kind": who.kind, "client_id": who.client_id},
            caller_scopes=sorted(who.scopes),
            query=dict(exchange.query),
            metadata=metadata,
            file_id=exchange.parameters.get("fileId"),
            new_id="",
            media_type=media_type,
            total=total,
            created=time.time(),
            hide_seconds=exchange.effects.hide_seconds,
        )
        (self._folder / session.id).touch()
        self._save(session)
        location = f"{exchange.base_url}{exchange.path}?uploadType=resumable&upload_id={session.id}"
        return Response(200, b"", {"Location": location, "X-GUploader-UploadID": session.id[:16]})

    def _save(self, session: Session) -> None:
        with self._lock:
            self._sessions[session.id] = session
            self._database.save("session", session.id, asdict(session))

    def _continue(self, exchange: Exchange) -> Response:
        upload_id = exchange.query["upload_id"]
        with self._lock:
            lock = self._locks.setdefault(upload_id, threading.Lock())
        with lock:
            session = self._sessions.get(upload_id)
            if session is None or session.created + SESSION_SECONDS < time.time():
                raise ApiError(404, "The upload session was not found or has expired.", "notFound")
            exchange.caller = session.who
            exchange.query = session.query | exchange.query
            if session.result is not None:
                record = self._tree.files.get(session.result)
                if record is None:
                    raise ApiError(410, "The uploaded file is gone.", "gone")
                return self._show(exchange, record)
            return self._chunk(exchange, session, self._folder / upload_id)

    def _chunk(self, exchange: Exchange, session: Session, path: Path) -> Response:
        stored = path.stat().st_size
        start, end, total = _content_range(exchange, session, stored)
        if start is not None and end is not None:
            if start > stored:
                raise ApiError(
                    400, f"Invalid request: the chunk starts at {start}, but only {stored} bytes are here."
                )
            try:
                got = receive(exchange.body.read, path, exchange.effects.corrupt, skip=stored - start)
            except ConnectionDropped:
                round_down(path)
                raise
            if got != end - start + 1:
                round_down(path)
                raise ApiError(
                    400, f"Failed to parse Content-Range: {got} bytes came, {end - start + 1} were announced."
                )
            if exchange.effects.keep_bytes is not None:
                truncate(
                    path,
                    0 if exchange.effects.keep_bytes < 0 else start + min(got, exchange.effects.keep_bytes),
                )
                round_down(path)
                return _incomplete(path)
        if total is None or path.stat().st_size != total:
            if total is not None and path.stat().st_size > total:
                raise ApiError(400, "More bytes were sent than announced.")
            round_down(path)
            return _incomplete(path)
        content = adopt(path, self._tree.blobs)
        hide = exchange.effects.hide_seconds or session.hide_seconds
        who, query = session.who, session.query
        try:
            record = self._store(
                who, query, session.file_id, session.metadata, session.media_type, content, hide
            )
        except ApiError:
            self.end_session(session.id)
            raise
        exchange.name, exchange.file_id = record.name, record.id
        session.result = record.id
        self._save(session)
        return self._show(exchange, record)


def _content_range(
    exchange: Exchange, session: Session, stored: int
) -> tuple[int | None, int | None, int | None]:
    """(first byte, last byte, total) of a chunk; first and last are None for a mere question."""
    header = exchange.headers.get("Content-Range")
    if header is None:  # all of it in one request
        if exchange.body.length is None:
            raise ApiError(411, "Length Required", "lengthRequired")
        total = exchange.body.length
        first, last = (0, total - 1) if total else (None, None)
        return first, last, _agreed(session, total)
    match = _RANGE.fullmatch(header)
    if match is None:
        raise ApiError(400, f"Failed to parse Content-Range header: {header}")
    whole = _agreed(session, None if match.group(3) == "*" else int(match.group(3)))
    if match.group(1) is None:
        return None, None, whole
    first, last = int(match.group(1)), int(match.group(2))
    if last < first or (whole is not None and last >= whole):
        raise ApiError(400, f"Invalid Content-Range: {header}")
    return first, last, whole


def _agreed(session: Session, total: int | None) -> int | None:
    if session.total is not None and total is not None and total != session.total:
        raise ApiError(
            400, f"Invalid request. {total} bytes are announced, the session was opened for {session.total}."
        )
    return session.total if total is None else total


def _incomplete(path: Path) -> Response:
    stored = path.stat().st_size
    return Response(308, b"", {"Range": f"bytes=0-{stored - 1}"} if stored else {})


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
