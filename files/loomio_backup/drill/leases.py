"""What a drill reads just now, so that pruning leaves it alone: a drill takes hours on a slow line, and must
not keep backups waiting by holding their lock.

The kernel lets go of a lease when its process dies, so nothing can be left over that binds anybody.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from loomio_backup.state import StateDirectory

_NAME = "drill-lease"


class Lease:
    """A lease that this process holds."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def take(self, backup: str) -> None:
        """From now on this backup, and with it all that it needs, stays."""
        self._file.truncate(0)
        self._file.write(backup)
        self._file.flush()


@contextmanager
def hold(state: StateDirectory) -> Iterator[Lease]:
    """Hold the lease of drills, of no backup yet. Only for the one drill that may run (reading.py)."""
    with (state.path / _NAME).open("a", encoding="utf-8") as file:
        # Whoever looks (below) has it for a moment only.
        fcntl.flock(file, fcntl.LOCK_EX)
        lease = Lease(file)
        lease.take("")
        yield lease


def leased(state: StateDirectory) -> str | None:
    """The backup that a drill reads now, "" while it has not chosen one; None when there is no drill."""
    try:
        with (state.path / _NAME).open("r", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
    except FileNotFoundError:
        pass
    return None
