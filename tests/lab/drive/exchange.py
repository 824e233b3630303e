"""One request and its answer, independent of the socket: what handlers read and return, and what the log
reports.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, Protocol

from .accounts import Caller
from .errors import ApiError, ConnectionDropped

BLOCK = 256 * 1024


class Stream(Protocol):
    """What a body is read from: the socket's buffered reader."""

    def read(self, size: int, /) -> bytes:
        """Blocks until `size` bytes or the end."""

    def readline(self, size: int = -1, /) -> bytes:
        """One line with its end."""


class Body:
    """A request's body as a stream, from Content-Length or chunked coding, never whole in memory.

    Fault rules may end it early (`cut_after` bytes) or slow it down (`bytes_per_second`).
    """

    def __init__(self, stream: Stream, length: int, chunked: bool) -> None:
        self._stream = stream
        self._left = 0 if chunked else length
        self._chunked = chunked
        self.length: int | None = None if chunked else length
        self.received = 0
        self.cut_after: int | None = None
        self.bytes_per_second = 0

    @property
    def finished(self) -> bool:
        return self._left == 0 and not self._chunked

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end; ConnectionDropped if the client leaves or a rule cuts it."""
        if self.cut_after is not None:
            if self.received >= self.cut_after:
                raise ConnectionDropped
            size = min(size, self.cut_after - self.received)
        if self._chunked and self._left == 0:
            self._next_chunk()
        size = min(size, self._left, self._stride())
        if size <= 0:
            return b""
        data = self._stream.read(size)
        if len(data) < size:
            self._left = 0
            self._chunked = False
            raise ConnectionDropped
        self._left -= size
        self.received += size
        if self._chunked and self._left == 0:
            self._stream.readline()  # the line end after a chunk
        if self.bytes_per_second:
            pause(size / self.bytes_per_second)
        return data

    def read_all(self, limit: int = 4 * 1024 * 1024) -> bytes:
        """The whole of a small body."""
        parts: list[bytes] = []
        while block := self.read(BLOCK):
            parts.append(block)
            if sum(map(len, parts)) > limit:
                raise ApiError(413, "Request too large.", "uploadTooLarge")
        return b"".join(parts)

    def read_json(self) -> dict[str, Any]:
        """A JSON object; an absent body is an empty one."""
        raw = self.read_all()
        try:
            value = json.loads(raw) if raw.strip() else {}
        except ValueError as error:
            raise ApiError(400, "Parse Error", "parseError") from error
        if not isinstance(value, dict):
            raise ApiError(400, "Parse Error", "parseError")
        return value

    def _stride(self) -> int:
        return max(1024, self.bytes_per_second // 10) if self.bytes_per_second else BLOCK

    def _next_chunk(self) -> None:
        line = self._stream.readline(1024)
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise ConnectionDropped from error
        if self._left == 0:
            self._chunked = False
            while self._stream.readline(1024).strip():
                pass


@dataclass(frozen=True)
class Slice:
    """Part of a file on disk, to be streamed as an answer."""

    path: Path
    start: int
    length: int


@dataclass
class Response:
    """Status, headers and a body, either bytes or a slice of a file."""

    status: int = 200
    body: bytes | Slice = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return self.body.length if isinstance(self.body, Slice) else len(self.body)


@dataclass
class Effects:
    """What fault rules do to one exchange after it was let through."""

    drop_answer: bool = False
    status_after: int = 0
    keep_bytes: int | None = None  # of an upload chunk
    corrupt: bool = False
    truncate_at: int | None = None
    honest_length: bool = False
    hide_seconds: float = 0.0
    stale: bool = False
    bytes_per_second: int = 0
    names: list[str] = field(default_factory=list)


@dataclass
class Exchange:
    """A request on its way through the emulator. `operation` is what rules and the log call it."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: Body
    client: str
    base_url: str
    operation: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    file_id: str = ""
    caller: Caller | None = None
    effects: Effects = field(default_factory=Effects)
    sent: int = 0
    started: float = field(default_factory=time.time)
    on_target: Callable[[Exchange], None] = lambda exchange: None
    aimed: bool = False

    def target(self, name: str, file_id: str = "") -> None:
        """Called once, when it is known what the request is about: the moment at which fault rules strike."""
        self.name, self.file_id = name or self.name, file_id or self.file_id
        if not self.aimed:
            self.aimed = True
            self.on_target(self)

    def flag(self, name: str) -> bool:
        """A boolean query parameter."""
        return self.query.get(name) == "true"

    @property
    def all_drives(self) -> bool:
        return self.flag("supportsAllDrives") or self.flag("supportsTeamDrives")

    @property
    def who(self) -> Caller:
        """The authenticated caller."""
        assert self.caller is not None
        return self.caller


def pause(seconds: float) -> None:
    """Simulated latency: the one place where the emulator waits on purpose."""
    time.sleep(seconds)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer as the Drive API formats it."""
    fixed = {"Content-Type": "application/json; charset=UTF-8", "Cache-Control": "no-cache, no-store"}
    return Response(status, json.dumps(value, indent=1, ensure_ascii=False).encode(), fixed | (headers or {}))
