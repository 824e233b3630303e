"""The index: one line of JSON for every file, directory and symlink of the app-data, sorted by path.

A line holds path, type (file, dir, symlink), mode (octal text), uid, gid, mtime_ns; a file also size, sha256
and pack (the object that holds it under its path), a symlink its target. Names that are not UTF-8 are kept as
Python's surrogate escapes, `\\udcXX` for the byte XX.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from loomio_backup.backup.appdata import ScanEntry, bytes_of, text_of
from loomio_backup.backup.scan import Scan
from loomio_backup.catalogue.objects import Digests, write_object
from loomio_backup.errors import DamagedObject
from loomio_backup.streams import BlockReader

_BLOCK = 256 << 10
_AS_IT_IS = json.JSONEncoder(ensure_ascii=False)
_ESCAPED = json.JSONEncoder()


def index_name() -> str:
    """A new name for an index."""
    return f"app-data-index_{secrets.token_hex(16)}.ndjson.zst.age"


def write_index(scan: Scan, destination: Path, recipients: Sequence[str]) -> Digests:
    """Write the whole scan as an index into the new file `destination`."""
    return write_object(BlockReader(_blocks(scan.entries())), destination, recipients)


def plain_digest(scan: Scan) -> tuple[int, str]:
    """(size, SHA-256 hex) of what `write_index` would write, before compression; equal scans, equal text."""
    size, digest = 0, hashlib.sha256()
    for block in _blocks(scan.entries()):
        size += len(block)
        digest.update(block)
    return size, digest.hexdigest()


def read_index(source: BinaryIO) -> Iterator[ScanEntry]:
    """The entries of an index. Raises DamagedObject for a line that is none or leads elsewhere."""
    for number, line in enumerate(source, start=1):
        try:
            yield _parsed(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedObject(f"line {number} of the index is not valid ({error}).") from error


def _blocks(entries: Iterator[ScanEntry]) -> Iterator[bytes]:
    block = bytearray()
    for entry in entries:
        block += _line(entry)
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _line(entry: ScanEntry) -> bytes:
    try:
        return _written(entry, _AS_IT_IS).encode()
    except UnicodeEncodeError:
        return _written(entry, _ESCAPED).encode()


def _written(entry: ScanEntry, text: json.JSONEncoder) -> str:
    # Put together by hand: a dictionary and its encoding take three times as long, and there is a line for
    # every file of every backup.
    more = ""
    if entry.type == "file":
        more = f',"size":{entry.size},"sha256":"{entry.sha256}","pack":{text.encode(entry.pack)}'
    elif entry.target is not None:
        more = f',"target":{text.encode(text_of(entry.target))}'
    return (
        f'{{"path":{text.encode(text_of(entry.path))},"type":"{entry.type}","mode":"{entry.mode:04o}",'
        f'"uid":{entry.uid},"gid":{entry.gid},"mtime_ns":{entry.mtime_ns}{more}}}\n'
    )


def _parsed(line: dict[str, Any]) -> ScanEntry:
    path = bytes_of(line["path"])
    parts = path.split(b"/")
    if b"" in parts or b"." in parts or b".." in parts or b"\0" in path:
        raise ValueError("a path that leads elsewhere")
    kind = line["type"]
    if kind not in ("file", "dir", "symlink"):
        raise ValueError(f"type {kind!r}")
    return ScanEntry(
        path=path,
        type=kind,
        size=int(line["size"]) if kind == "file" else 0,
        mode=int(line["mode"], 8),
        uid=int(line["uid"]),
        gid=int(line["gid"]),
        mtime_ns=int(line["mtime_ns"]),
        ctime_ns=0,
        inode=0,
        target=bytes_of(line["target"]) if kind == "symlink" else None,
        sha256=str(line["sha256"]) if kind == "file" else None,
        pack=str(line["pack"]) if kind == "file" else None,
    )
