"""Reading one app-data file: opened safely, and believed only when it held still.

Files that were packed are known again by size, times and inode. A time stamp proves nothing about what
happened within its own granularity: a file that was written just before it was read could have been written
once more just after, and look the same. So what was read that soon is remembered with inode 0, which no file
has: next time its content decides.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta

from loomio_backup import clock
from loomio_backup.backup.appdata import ScanEntry, unreadable

HASH_ONLY = 0
"""The inode of what is known by its content alone."""

_GRANULARITY = timedelta(seconds=2)
"""The coarsest time stamps in use (FAT's); the kernel's own clock for files lags some milliseconds behind."""
_READ = 256 << 10
# No longer there, or no longer a file (a link, a socket): the next pass finds what is there instead. Anything
# else means that the file is there, and that its content would be missing from the backup.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def open_file(source: bytes) -> int | None:
    """A descriptor for reading a regular file, or None when there is none (any more). Raises SourceError."""
    try:
        # O_NONBLOCK: should it have become a FIFO, opening must not wait for a writer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise unreadable(source, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def exactly(source: bytes, descriptor: int, size: int) -> Iterator[bytes]:
    """`size` bytes: the beginning of a file that grew, zeros after one that shrank. Raises SourceError."""
    while size:
        try:
            block = os.read(descriptor, min(_READ, size)) or bytes(min(_READ, size))
        except OSError as error:
            raise unreadable(source, error) from error
        size -= len(block)
        yield block


def held_still(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file's content was left alone between two looks at it."""
    return _stamp(before) == _stamp(after)


def as_read(
    entry: ScanEntry, status: os.stat_result, began: datetime | None, sha256: str, pack: str
) -> ScanEntry:
    """What is known of a file whose content was read; `began`: the moment before, None if it did not hold
    still.
    """
    proven = began is not None and status.st_ctime < (began - _GRANULARITY).timestamp()
    return entry._replace(
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino if proven else HASH_ONLY,
        sha256=sha256,
        pack=pack,
    )


def hash_file(source: bytes, size: int) -> tuple[os.stat_result, datetime, str] | None:
    """(status, moment before, SHA-256 hex) of a file of exactly `size` bytes that held still while it was
    read; None for any other. Raises SourceError.
    """
    descriptor = open_file(source)
    if descriptor is None:
        return None
    try:
        began = clock.now()
        before = os.fstat(descriptor)
        if before.st_size != size:
            return None
        digest = hashlib.sha256()
        for block in exactly(source, descriptor, size):
            digest.update(block)
        still = held_still(before, os.fstat(descriptor))
    finally:
        os.close(descriptor)
    return (before, began, digest.hexdigest()) if still else None


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
