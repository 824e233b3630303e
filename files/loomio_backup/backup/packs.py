"""Packs: app-data files gathered into tar streams of about 64 MiB, each an object of its own.

What the index says about a file is what the pack holds: the hash is taken from the very bytes that go into
the tar, and mode, owner and times from the same open file. A tar member's size is fixed by its header, so a
file that changes while it is read is read again, into another member of the same name (tar extracts the
last one).
"""

import contextlib
import hashlib
import os
import secrets
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from loomio_backup import clock
from loomio_backup.backup import filereading
from loomio_backup.backup.appdata import Roots, ScanEntry, bytes_of, host_path, text_of
from loomio_backup.backup.scan import Scan
from loomio_backup.catalogue.objects import Digests, write_object
from loomio_backup.errors import DamagedObject
from loomio_backup.streams import BlockReader, gathered

PACK_BYTES = 64 << 20
_MOST_FILES = 10_000
_TRIES = 3
_NO_BLOCK = bytes(tarfile.BLOCKSIZE)


@dataclass
class Contents:
    """What went into a pack: entries with hash and pack set, paths that were gone, paths (of `packed`) that
    never held still.
    """

    packed: list[ScanEntry] = field(default_factory=list)
    vanished: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)


def pack_name() -> str:
    """A new name for a pack."""
    return f"app-data_{secrets.token_hex(16)}.tar.zst.age"


def batches(scan: Scan) -> Iterator[list[ScanEntry]]:
    """The unpacked files of a scan in lots for one pack each; record each lot before asking for the next."""
    lot: list[ScanEntry] = []
    size = 0
    for entry in scan.unpacked(b""):
        lot.append(entry)
        size += entry.size
        if size >= PACK_BYTES or len(lot) >= _MOST_FILES:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


def most_bytes(lot: Sequence[ScanEntry], roots: Roots) -> int:
    """What a pack of these files takes at most. Holes in huge files take nothing."""
    return sum(
        entry.size if entry.size < PACK_BYTES else _allocated(host_path(roots, entry.path), entry.size)
        for entry in lot
    )


def write_pack(
    name: str, lot: Sequence[ScanEntry], roots: Roots, destination: Path, recipients: Sequence[str]
) -> tuple[Digests, Contents]:
    """Write the files of `lot` as the pack `name` into the new file `destination`."""
    contents = Contents()
    stream = gathered(tar_stream(name, lot, roots, contents))
    digests = write_object(BlockReader(stream), destination, recipients)
    return digests, contents


def tar_stream(name: str, lot: Sequence[ScanEntry], roots: Roots, contents: Contents) -> Iterator[bytes]:
    """The blocks of the pack's tar; `contents` is filled as they are taken."""
    for entry in lot:
        yield from _member(name, entry, host_path(roots, entry.path), contents)
    yield _NO_BLOCK * 2


def members(source: BinaryIO) -> Iterator[tuple[bytes, int, IO[bytes]]]:
    """Path, size and content of every file in a pack's tar; read each before the next. Use it in
    `damage_told`.
    """
    with tarfile.open(
        fileobj=source, mode="r|", bufsize=1 << 20, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        while (member := tar.next()) is not None:
            # A stream needs no list of what went by, and it would grow with the number of files.
            tar.members.clear()  # type: ignore[attr-defined]
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                yield bytes_of(member.name), member.size, content


@contextlib.contextmanager
def damage_told(pack: str) -> Iterator[None]:
    """What is no tar is a DamagedObject."""
    try:
        yield
    except tarfile.TarError as error:
        raise DamagedObject(f"{pack} is not a readable tar ({error}).") from error


def _member(name: str, entry: ScanEntry, source: bytes, contents: Contents) -> Iterator[bytes]:
    for attempt in range(1, _TRIES + 1):
        descriptor = filereading.open_file(source)
        if descriptor is None:
            contents.vanished.append(entry.path)
            return
        try:
            began = clock.now()
            before = os.fstat(descriptor)
            digest = hashlib.sha256()
            yield _header(entry.path, before)
            for block in filereading.exactly(source, descriptor, before.st_size):
                digest.update(block)
                yield block
            yield bytes(-before.st_size % tarfile.BLOCKSIZE)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        still = filereading.held_still(before, after)
        if still or attempt == _TRIES:
            read = filereading.as_read(entry, before, began if still else None, digest.hexdigest(), name)
            contents.packed.append(read)
        if still:
            return
    contents.changed.append(entry.path)


def _allocated(source: bytes, size: int) -> int:
    try:
        # Blocks of 512 bytes, whatever the file system's own (stat(2)).
        return min(size, os.lstat(source).st_blocks * 512)
    except OSError:
        # Gone, or not to be read: whoever reads it will say so.
        return 0


def _header(path: bytes, status: os.stat_result) -> bytes:
    member = tarfile.TarInfo(text_of(path))
    member.size = status.st_size
    member.mode = stat.S_IMODE(status.st_mode)
    member.uid, member.gid = status.st_uid, status.st_gid
    member.mtime = int(status.st_mtime)
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
