"""The data set's files as a tar stream, and as facts."""

import io
import tarfile
from collections.abc import Iterator
from typing import IO

from .files import FileFact, plan
from .spec import Spec

_TYPES = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}


def write_tar(spec: Spec, out: IO[bytes]) -> None:
    """Members are storage/…, uploads/…, files/…, plugins/…; to be unpacked as root with numeric owners."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for entry in plan(spec):
            fact = entry.fact
            member = tarfile.TarInfo(fact.path)
            member.type = _TYPES[fact.type]
            member.size = fact.size
            member.mode, member.mtime = fact.mode, fact.mtime
            member.uid, member.gid = fact.uid, fact.gid
            member.linkname = fact.target or ""
            archive.addfile(member, _Chunks(entry.recipe.chunks()) if entry.recipe else None)


def file_facts(spec: Spec) -> dict[str, FileFact]:
    """What every path holds, from the seed alone."""
    return {entry.fact.path: entry.fact for entry in plan(spec)}


class _Chunks(io.RawIOBase):
    """A file to read from, over an iterator of byte strings."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = []
        while size > 0:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:size], self._rest[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
