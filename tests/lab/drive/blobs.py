"""Bytes on disk: receiving them from a connection and hashing them, in constant memory."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

from .errors import ConnectionDropped
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
    """Walks through a multipart/related body without holding more than a block of it."""

    def __init__(self, read: Callable[[int], bytes], boundary: str) -> None:
        self._read = read
        self._buffer = b""
        self._mark = b"\r\n--" + boundary.encode()
        self._first = True

    def next_part(self) -> dict[str, str] | None:
        """Headers of the next part (names in lower case), or None after the last."""
        if self._first:
            self._first = False
            self._buffer = b"\r\n" + self._buffer  # so that the first boundary looks like every other
            while self.read_part(BLOCK):
                pass
        self._fill(len(self._mark) + 2)
        self._buffer = self._buffer[len(self._mark) :]
        if self._buffer.startswith(b"--"):
            while self._read(BLOCK):
                pass
            return None
        while b"\r\n\r\n" not in self._buffer[:65536]:
            self._fill(len(self._buffer) + 1)
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        self._buffer = b"" + self._buffer
        lines = [line.split(":", 1) for line in head.decode("utf-8", "replace").split("\r\n") if ":" in line]
        return {name.strip().lower(): value.strip() for name, value in lines}

    def read_part(self, size: int) -> bytes:
        """Up to `size` bytes of the current part, b"" at its end."""
        self._fill(len(self._mark) + 1, at_least=False)
        place = self._buffer.find(self._mark)
        if place < 0:
            ready = len(self._buffer) - len(self._mark)
            if ready <= 0:
                raise ConnectionDropped  # the body ended without its last boundary
        else:
            ready = place
        data, self._buffer = self._buffer[: min(size, ready)], self._buffer[min(size, ready) :]
        return data

    def _fill(self, wanted: int, at_least: bool = True) -> None:
        while len(self._buffer) < max(wanted, 0 if at_least else BLOCK):
            block = self._read(BLOCK)
            if not block:
                if at_least:
                    raise ConnectionDropped
                return
            self._buffer += block
