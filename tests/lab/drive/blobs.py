"""Bytes on disk: receiving them from a connection and hashing them, in constant memory."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

from .errors import ApiError
from .exchange import BLOCK
from .tree import Content

GRAIN = 256 * 1024  # chunks of a resumable upload are kept in multiples of this


def receive(read: Callable[[int], bytes], target: Path, corrupt: bool = False, skip: int = 0) -> int:
    """Append what `read` gives to a file, without its first `skip` bytes; returns the number of bytes read.

    When the connection breaks, what arrived stays in the file and ConnectionDropped goes on.
    """
    total = 0
    with target.open("ab") as file:
        while block := read(BLOCK):
            total += len(block)
            if skip >= len(block):
                skip -= len(block)
                continue
            block, skip = block[skip:], 0
            if corrupt:
                block, corrupt = bytes([block[0] ^ 0x40]) + block[1:], False
            file.write(block)
    return total


def round_down(target: Path) -> None:
    """Cut a partial upload to whole grains, as Drive reports it."""
    truncate(target, target.stat().st_size // GRAIN * GRAIN)


def truncate(target: Path, size: int) -> None:
    """Cut a file to a length."""
    with target.open("r+b") as file:
        file.truncate(size)


def adopt(path: Path, blobs: Path) -> Content:
    """Hash a received file and move it among the blobs."""
    content = measure(path, secrets.token_hex(16))
    path.rename(blobs / content.blob)
    return content


def measure(path: Path, blob: str) -> Content:
    """Size and hashes of a file."""
    digests = (hashlib.md5(usedforsecurity=False), hashlib.sha1(usedforsecurity=False), hashlib.sha256())
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            for digest in digests:
                digest.update(block)
    md5, sha1, sha256 = (digest.hexdigest() for digest in digests)
    return Content(blob, path.stat().st_size, md5, sha1, sha256)


def damage(path: Path, kind: str) -> None:
    """Spoil stored bytes: flip one in the middle, or cut the last third off."""
    size = path.stat().st_size
    if kind == "truncate":
        truncate(path, size - max(1, size // 3))
        return
    with path.open("r+b") as file:
        file.seek(size // 2)
        byte = file.read(1)
        file.seek(size // 2)
        file.write(bytes([byte[0] ^ 0x01]))


class MultipartReader:
    """Walks through a multipart/related body without holding more than a block or two of it.

    Lines end in CRLF, or in LF alone, which is what Google's Python library sends and Google accepts.
    """

    def __init__(self, read: Callable[[int], bytes], boundary: str) -> None:
        self._read = read
        self._buffer = b""
        self._boundary = b"--" + boundary.encode()
        self._newline = b""  # known after the first boundary

    def next_part(self) -> dict[str, str] | None:
        """Headers of the next part (names in lower case), or None after the last."""
        if not self._newline:
            self._find(self._boundary)
            self._buffer = self._buffer[self._buffer.index(self._boundary) :]
            line = self._buffer[: self._find(b"\n") + 1]
            self._newline = b"\r\n" if line.endswith(b"\r\n") else b"\n"
            self._buffer = self._newline + self._buffer  # so that it looks like every other boundary
        self._fill(len(self._mark) + 2)
        self._buffer = self._buffer[len(self._mark) :]
        if self._buffer.startswith(b"--"):
            while self._read(BLOCK):
                pass
            return None
        self._buffer = self._buffer[self._find(self._newline) :]
        if self._buffer.startswith(self._newline * 2):
            head, self._buffer = b"", self._buffer[2 * len(self._newline) :]
        else:
            end = self._find(self._newline * 2)
            head, self._buffer = self._buffer[:end], self._buffer[end + 2 * len(self._newline) :]
        lines = [line.split(":", 1) for line in head.decode("utf-8", "replace").splitlines() if ":" in line]
        return {name.strip().lower(): value.strip() for name, value in lines}

    def read_part(self, size: int) -> bytes:
        """Up to `size` bytes of the current part, b"" at its end."""
        while (place := self._buffer.find(self._mark)) < 0 and len(self._buffer) < BLOCK + len(self._mark):
            self._more()
        ready = place if place >= 0 else len(self._buffer) - len(self._mark)
        data, self._buffer = self._buffer[: min(size, ready)], self._buffer[min(size, ready) :]
        return data

    @property
    def _mark(self) -> bytes:
        return self._newline + self._boundary

    def _find(self, what: bytes) -> int:
        while (place := self._buffer.find(what)) < 0:
            if len(self._buffer) > BLOCK:
                raise ApiError(400, "Malformed multipart body.")
            self._more()
        return place

    def _fill(self, wanted: int) -> None:
        while len(self._buffer) < wanted:
            self._more()

    def _more(self) -> None:
        block = self._read(BLOCK)
        if not block:
            raise ApiError(400, "Malformed multipart body: it ends without its last boundary.")
        self._buffer += block
