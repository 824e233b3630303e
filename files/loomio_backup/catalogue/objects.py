"""Objects: the immutable encrypted files that backups consist of, written and read as streams.

An object is age(zstd(content)); manifests are age(content). Writing hashes the content on its way in and the
stored bytes on their way out, so that nothing is read twice. Memory: a few MiB, whatever the size.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from loomio_backup.encryption import age, fernet
from loomio_backup.encryption.crypto import Identity, recipient
from loomio_backup.streams import (
    BLOCK,
    BlockReader,
    Put,
    Sink,
    Source,
    Stage,
    all_closed,
    read_blocks,
    write_all,
)

_LEVEL = 1
"""On a Loomio's dump a tenth larger than with zstd's usual 3, for two thirds of the work: the Pi has other
things to do.
"""

# A decompressor does not say whether its input ended in the middle of a frame, so this marker follows the
# input in a frame of its own: only after a complete frame does it come out again, as the very end of the
# output.
_MARKER = b"loomio-backup:end"
_MARKER_FRAME = zstandard.ZstdCompressor(write_checksum=True).compress(_MARKER)


@dataclass(frozen=True)
class Digests:
    """Sizes in bytes and hashes (hex) of an object: plain is the content before compression."""

    plain_size: int
    plain_sha256: str
    stored_size: int
    stored_sha256: str
    stored_md5: str


def write_object(source: Source, destination: Path, recipients: Sequence[str]) -> Digests:
    """Compress and encrypt everything that `source.read(n)` gives into the new file `destination`, mode 0600.

    `destination` must not exist, and is fsynced; it is removed again when anything fails, so the caller's
    rename to the final name is what makes an object exist. Whatever `source.read` raises is raised here.
    `recipients`: `age1…` texts.
    """
    plain = _Tally()
    reading = Stage(lambda put: _each(plain.through(read_blocks(source)), put))
    packing = Stage(lambda put: _each(_compressed(reading), put), upstream=reading)
    with all_closed(reading, packing):
        stored = _write_encrypted(BlockReader(packing), destination, recipients)
    return _digests(plain, stored)


def write_sealed(data: bytes, destination: Path, recipients: Sequence[str]) -> Digests:
    """Encrypt `data` without compressing it (manifests); otherwise like `write_object`."""
    plain = _Tally()
    plain.add(data)
    return _digests(plain, _write_encrypted(io.BytesIO(data), destination, recipients))


def write_legacy(source: Source, destination: Path, key: bytes) -> Digests:
    """Encrypt everything in `source` in the format of the older backups (fernet.py), uncompressed; otherwise
    like `write_object`.
    """
    plain = _Tally()
    reader = BlockReader(plain.through(read_blocks(source)))
    stored = _write_new(destination, lambda sink: fernet.encrypt(reader, sink, key))
    return _digests(plain, stored)


@contextlib.contextmanager
def read_object(path: Path, identities: Sequence[Identity], *, compressed: bool = True) -> Iterator[BinaryIO]:
    """Open an object for reading its content (`compressed=False`: what is under the encryption, as it is).

    Reads raise `WrongKey` or `DamagedObject`, at the latest where the content would have ended: an end of
    file is a proven one. When the block ends without an exception, a rest that was not read is still
    authenticated.
    """
    with path.open("rb", buffering=BLOCK) as file, _opened(file, path.name, identities, compressed) as source:
        yield source


@contextlib.contextmanager
def _opened(
    file: BinaryIO, name: str, identities: Sequence[Identity], compressed: bool
) -> Iterator[BinaryIO]:
    decrypted = Stage(lambda put: _decrypt_blocks(file, put, identities, name))
    with decrypted:
        blocks = _expanded(decrypted, name) if compressed else decrypted
        yield io.BufferedReader(BlockReader(blocks), buffer_size=1 << 18)
        for _ in decrypted:
            pass


def digests_of(path: Path, identities: Sequence[Identity]) -> Digests:
    """What an object and its content really are, in one pass. Raises WrongKey and DamagedObject."""
    stored, plain = _Tally(with_md5=True), _Tally()
    with path.open("rb", buffering=0) as raw:
        blocks = stored.through(read_blocks(raw))
        file = io.BufferedReader(BlockReader(blocks), buffer_size=BLOCK)
        with _opened(file, path.name, identities, True) as source:
            for block in read_blocks(source):
                plain.add(block)
    return _digests(plain, stored)


def legacy_digests_of(path: Path, key: bytes) -> Digests:
    """Like `digests_of`, for the format of the older backups. Raises DamagedObject."""
    stored, plain = _Tally(with_md5=True), _TallySink()
    with path.open("rb", buffering=0) as raw:
        fernet.decrypt(BlockReader(stored.through(read_blocks(raw))), plain, key, path.name)
    return _digests(plain.tally, stored)


def copy_object(
    path: Path, identities: Sequence[Identity], sink: Sink, compressed: bool = True
) -> tuple[int, str]:
    """Write an object's content to `sink`; returns its (size, SHA-256 hex). Errors as in `read_object`.

    On an error `sink` has received a genuine beginning of the content, but not all of it.
    """
    content = _Tally()
    with read_object(path, identities, compressed=compressed) as source:
        for block in content.through(read_blocks(source)):
            write_all(sink, block)
    return content.size, content.sha256.hexdigest()


def as_it_is(path: Path) -> Digests:
    """Digests of a file that is stored as it lies there: RECOVERY.md, keyrings, copies of other stores."""
    size, sha256, md5 = hash_file(path)
    return Digests(size, sha256, size, sha256, md5)


def hash_file(path: Path) -> tuple[int, str, str]:
    """(size, SHA-256 hex, MD5 hex) of a file as it is stored."""
    tally = _Tally(with_md5=True)
    with path.open("rb", buffering=0) as file:
        for block in read_blocks(file):
            tally.add(block)
    return tally.size, tally.sha256.hexdigest(), tally.md5.hexdigest()


def sha256_of(path: Path) -> tuple[int, str]:
    """(size, SHA-256 hex) of a file as it is stored, without MD5, which costs more than all the rest."""
    tally = _Tally()
    with path.open("rb", buffering=0) as file:
        for block in read_blocks(file):
            tally.add(block)
    return tally.size, tally.sha256.hexdigest()


class _Tally:
    """Counts and hashes what passes. MD5 only because it is what Drive reports for every file."""

    def __init__(self, with_md5: bool = False) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._with_md5 = with_md5

    def add(self, block: bytes) -> None:
        self.size += len(block)
        self.sha256.update(block)
        if self._with_md5:
            self.md5.update(block)

    def through(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.add(block)
            yield block


class _TallySink:
    """Tallies what is written, and nothing else."""

    def __init__(self) -> None:
        self.tally = _Tally()

    def write(self, data: bytes) -> None:
        self.tally.add(data)


class _TallyWriter:
    """Writes to a file and tallies what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.tally = _Tally(with_md5=True)
        self._file = file

    def write(self, data: bytes) -> int:
        self.tally.add(data)
        write_all(self._file, data)
        return len(data)


def _write_encrypted(source: Source, destination: Path, recipients: Sequence[str]) -> _Tally:
    keys = [recipient(text) for text in recipients]
    return _write_new(destination, lambda sink: age.encrypt(source, sink, keys))


def _write_new(destination: Path, fill: Callable[[Sink], None]) -> _Tally:
    descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer = _TallyWriter(file)
            fill(writer)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
    return writer.tally


def _digests(plain: _Tally, stored: _Tally) -> Digests:
    return Digests(
        plain_size=plain.size,
        plain_sha256=plain.sha256.hexdigest(),
        stored_size=stored.size,
        stored_sha256=stored.sha256.hexdigest(),
        stored_md5=stored.md5.hexdigest(),
    )


def _each(blocks: Iterator[bytes], put: Put) -> None:
    for block in blocks:
        put(block)


def _compressed(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()


def _expanded(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    source = BlockReader(_with_marker(blocks, name))
    # read_across_frames: what others compressed may consist of several frames.
    reader = zstandard.ZstdDecompressor().stream_reader(
        cast("IO[bytes]", source), read_size=1 << 17, read_across_frames=True
    )
    held = b""
    try:
        while block := reader.read(1 << 18):
            held += block
            yield held[: -len(_MARKER)]
            held = held[-len(_MARKER) :]
    except zstandard.ZstdError:
        raise age.damaged(name, "its compressed content cannot be expanded") from None
    if held != _MARKER:
        raise age.damaged(name, "its compressed content ends too early")


def _with_marker(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    last = b""
    for block in blocks:
        if last:
            yield last
        last = block
    if not last:
        raise age.damaged(name, "it has no content at all")
    # Not in a block of its own: zstd takes a whole frame at the start of its input for the frame that it is
    # in when it has seen only that one's header.
    yield last + _MARKER_FRAME


def _decrypt_blocks(file: IO[bytes], put: Put, identities: Sequence[Identity], name: str) -> None:
    gathered = _Gathered(put)
    age.decrypt(file, gathered, identities, name)
    gathered.flush()


class _Gathered:
    """Gathers the small pieces (8 KiB) in which pyrage hands out content into blocks worth passing on."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._pieces = bytearray()

    def write(self, data: bytes) -> int:
        self._pieces += data
        if len(self._pieces) >= 1 << 18:
            self.flush()
        return len(data)

    def flush(self) -> None:
        self._put(bytes(self._pieces))
        self._pieces.clear()
