"""A place for objects that are only looked at: one at a time, in a directory that is empty before and after.

Not the spool: that belongs to the run that holds the lock, and looking at backups must not keep it waiting.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from loomio_backup.errors import AgentError
from loomio_backup.progress import say
from loomio_backup.state import StateDirectory


@contextlib.contextmanager
def place(state: StateDirectory, verb: str, wait: bool = False) -> Iterator[Path]:
    """A directory for this verb alone. Raises AgentError while another process of the same verb uses it; with
    `wait`, waits for its end instead.
    """
    directory = state.path / f"reading-{verb}"
    directory.mkdir(mode=0o700, exist_ok=True)
    # A file beside it: writers of the directory lock the directory itself (stores/disk.py).
    lock = state.path / f"reading-{verb}.lock"
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise AgentError(
                    f"another {verb} is running. It goes on undisturbed; try again when it has finished."
                ) from None
            say(f"{verb} waits until another one has finished")
            fcntl.flock(handle, fcntl.LOCK_EX)
        _empty(directory)
        try:
            yield directory
        finally:
            _empty(directory)
    finally:
        os.close(handle)


def _empty(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
