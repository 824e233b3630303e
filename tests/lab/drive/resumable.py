"""Resumable uploads: sessions that survive broken connections and restarts of either side.

Protocol: https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable. A session's
address is all the authority that it needs; what it holds so far is a file below DIR/uploads.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .accounts import Caller
from .blobs import adopt, receive, round_down, truncate
from .database import Database
from .errors import ApiError, ConnectionDropped, invalid
from .exchange import Exchange, Response
from .tree import FOLDER, Tree
from .uploads import Show, Uploads, Wish

SESSION_SECONDS = 7 * 24 * 3600
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class Session:
    """One upload on its way; `total` is None until the client says how long it is, `result` the finished
    file's id.
    """

    id: str
    wish: Wish
    total: int | None
    created: float
    result: str | None = None

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        body = asdict(self)
        body["wish"]["caller"]["scopes"] = sorted(self.wish.caller.scopes)
        return body

    @classmethod
    def load(cls, body: dict[str, Any]) -> Session:
        """From what `dump` gave."""
        caller = body["wish"]["caller"]
        known = Caller(**(caller | {"scopes": frozenset(caller["scopes"])}))
        return cls(**(body | {"wish": Wish(**(body["wish"] | {"caller": known}))}))


@dataclass(frozen=True)
class _Chunk:
    """What a request to a session announces; `first` and `last` are None for a mere question."""

    first: int | None
    last: int | None
    total: int | None


class Sessions:
    """All upload sessions."""

    def __init__(self, tree: Tree, uploads: Uploads, database: Database, show: Show) -> None:
        self._tree, self._uploads, self._database, self._show = tree, uploads, database, show
        self._sessions = {key: Session.load(body) for key, body in database.load("session").items()}
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def start(self, exchange: Exchange) -> Response:
        """uploadType=resumable: metadata now, content later."""
        metadata = exchange.body.read_json()
        exchange.target(str(metadata.get("name", "")), str(metadata.get("id", "")))
        if metadata.get("mimeType") == FOLDER:
            raise invalid("mimeType", "A folder has no content.")
        declared = exchange.headers.get("X-Upload-Content-Length", "")
        total = int(declared) if declared.isdigit() else None
        wish = Wish.of(exchange, metadata, exchange.headers.get("X-Upload-Content-Type", ""))
        self._uploads.check(wish, total or 0)
        session = Session(secrets.token_urlsafe(48), wish, total, time.time())
        self._path(session.id).touch()
        self._save(session)
        location = f"{exchange.base_url}{exchange.path}?uploadType=resumable&upload_id={session.id}"
        return Response(200, b"", {"Location": location})

    def about(self, upload_id: str) -> tuple[str, str]:
        """(file name, file id) of a session, for the log and for fault rules; empty where unknown."""
        session = self._sessions.get(upload_id)
        if session is None:
            return "", ""
        file_id = session.wish.file_id or session.result or str(session.wish.metadata.get("id", ""))
        known = self._tree.files.get(file_id)
        return known.name if known else str(session.wish.metadata.get("name", "")), file_id

    def end(self, upload_id: str) -> None:
        """Forget a session, as Drive does after a week or at whim."""
        with self._lock:
            if self._sessions.pop(upload_id, None):
                self._database.delete("session", upload_id)
                self._path(upload_id).unlink(missing_ok=True)

    def proceed(self, exchange: Exchange) -> Response:
        """A chunk, or the question how much is here; one at a time per session."""
        upload_id = exchange.query["upload_id"]
        with self._lock:
            busy = self._busy.setdefault(upload_id, threading.Lock())
        with busy:
            session = self._sessions.get(upload_id)
            if session is None or session.created + SESSION_SECONDS < time.time():
                raise ApiError(404, "The upload session was not found or has expired.", "notFound")
            exchange.caller = session.wish.caller
            exchange.query = session.wish.query | exchange.query
            if session.result is not None:
                return self._finished(exchange, session.result)
            return self._receive(exchange, session)

    def _finished(self, exchange: Exchange, file_id: str) -> Response:
        record = self._tree.files.get(file_id)
        if record is None:
            raise ApiError(410, "The uploaded file is gone.", "gone")
        return self._show(exchange, record)

    def _receive(self, exchange: Exchange, session: Session) -> Response:
        path, chunk = self._path(session.id), _announced(exchange, session)
        if chunk.first is not None and chunk.last is not None:
            self._append(exchange, path, chunk.first, chunk.last)
        if exchange.effects.keep_bytes is not None or chunk.total != path.stat().st_size:
            round_down(path)
            stored = path.stat().st_size
            return Response(308, b"", {"Range": f"bytes=0-{stored - 1}"} if stored else {})
        try:
            response = self._uploads.finish(exchange, session.wish, adopt(path, self._tree.blobs))
        except ApiError:
            self.end(session.id)
            raise
        session.result = exchange.file_id
        self._save(session)
        return response

    @staticmethod
    def _append(exchange: Exchange, path: Path, first: int, last: int) -> None:
        stored, keep = path.stat().st_size, exchange.effects.keep_bytes
        if first > stored:
            raise ApiError(
                400, f"Invalid request: the chunk starts at {first}, only {stored} bytes are here."
            )
        try:
            got = receive(exchange.body.read, path, exchange.effects.corrupt, skip=stored - first)
        except ConnectionDropped:
            round_down(path)
            raise
        if got != last - first + 1:
            round_down(path)
            raise ApiError(400, f"{got} bytes came, but Content-Range announced {last - first + 1}.")
        if keep is not None:
            truncate(path, first + min(got, keep) if keep >= 0 else 0)

    def _save(self, session: Session) -> None:
        with self._lock:
            self._sessions[session.id] = session
            self._database.save("session", session.id, session.dump())

    def _path(self, upload_id: str) -> Path:
        return self._uploads.folder / upload_id


def _announced(exchange: Exchange, session: Session) -> _Chunk:
    header = exchange.headers.get("Content-Range")
    if header is None:  # all of it in one request
        length = exchange.body.length
        if length is None:
            raise ApiError(411, "Length Required", "lengthRequired")
        return _Chunk(0 if length else None, length - 1 if length else None, _agreed(session, length))
    match = _RANGE.fullmatch(header)
    if match is None:
        raise ApiError(400, f"Failed to parse Content-Range header: {header}")
    total = _agreed(session, None if match.group(3) == "*" else int(match.group(3)))
    if match.group(1) is None:
        return _Chunk(None, None, total)
    first, last = int(match.group(1)), int(match.group(2))
    if last < first or (total is not None and last >= total):
        raise ApiError(400, f"Invalid Content-Range: {header}")
    return _Chunk(first, last, total)


def _agreed(session: Session, total: int | None) -> int | None:
    if session.total is not None and total is not None and total != session.total:
        raise ApiError(400, f"{total} bytes are announced, but the session was opened for {session.total}.")
    return session.total if total is None else total
