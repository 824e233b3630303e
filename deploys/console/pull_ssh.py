"""The Pi's local store, read over SSH: what `loomio-pi pull` copies from where there is no Google Drive.

One connection (pi_ssh.py) does for everything; on the Pi only find and tail run.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from deploys.console.pi_ssh import PiConnection
from inventories.settings import Host
from loomio_backup.errors import StoreDamaged, StoreError, StoreUnavailable
from loomio_backup.stores.base import Progress, StoredObject, check_name

_BLOCK = 256 * 1024
_TRIES = 5  # in a row without a byte
_SAFE = "Nothing was changed on the Pi, and what was fetched before stays."


class PiStore:
    """The folder `path` of the Pi called `name`. Use it as a context manager."""

    def __init__(
        self,
        name: str,
        host: Host,
        path: str,
        sudo_password: str | None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name, self._path, self._wait = name, path, wait
        self._pi = PiConnection(name, host, sudo_password, _SAFE)

    def __enter__(self) -> "PiStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._pi.__exit__()

    def __str__(self) -> str:
        return f"{self._path} on {self._name}"

    def list(self) -> Iterator[StoredObject]:
        """Every file in the folder that could be an object."""
        find = ["find", f"{self._path}/", "-maxdepth", "1", "-type", "f", "-printf", r"%s %T@ %f\0"]
        with self._pi.command(f"listing {self}", *find) as output:
            listed = output.read()
        for line in listed.split(b"\0")[:-1]:
            size, changed, name = line.decode("utf-8", "replace").split(" ", 2)
            with contextlib.suppress(StoreError):  # somebody else's file
                check_name(name)
                moment = datetime.fromtimestamp(float(changed), UTC)
                yield StoredObject(name, int(size), None, None, None, moment)

    def get(
        self, stored: StoredObject, destination: Path, progress: Progress | None = None, /
    ) -> StoredObject:
        """Fetch into `destination` (mode 0600), which appears when all of it is there. What an interrupted
        try left beside it (`NAME.part`) is gone on from.
        """
        check_name(stored.name)
        part = destination.with_name(f"{destination.name}.part")
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as target:
            failures, furthest = 0, _there(target, stored.size)
            while (start := _there(target, stored.size)) < stored.size:
                try:
                    self._fetch(stored, target, start, progress)
                except StoreUnavailable:
                    failures = failures + 1 if _there(target, stored.size) <= furthest else 1
                    furthest = _there(target, stored.size)
                    if failures == _TRIES:
                        raise
                    self._wait(2.0**failures)
            os.fsync(target.fileno())
        part.rename(destination)
        return stored

    def _fetch(self, stored: StoredObject, target: IO[bytes], start: int, progress: Progress | None) -> None:
        path, done = f"{self._path}/{stored.name}", start
        with self._pi.command(f"fetching {stored.name}", "tail", "-c", f"+{start + 1}", path) as output:
            while block := output.read(_BLOCK):
                done += len(block)
                if done > stored.size:
                    raise StoreDamaged(f"{path} on {self._name} grew while it was fetched. {_SAFE}")
                _write(target, block)
                if progress:
                    progress(done)
        if done < stored.size:
            raise StoreDamaged(f"{path} on {self._name} has {done} bytes instead of {stored.size}. {_SAFE}")


def _write(target: IO[bytes], block: bytes) -> None:
    try:
        target.write(block)
        target.flush()
    except OSError as error:
        raise StoreError(f"{target.name} cannot be written ({error.strerror}). {_SAFE}") from error


def _there(target: IO[bytes], size: int) -> int:
    """How many bytes of `size` are in the file, which stands behind them then; too long ones are dropped."""
    there = target.seek(0, os.SEEK_END)
    if there > size:
        target.truncate(0)
        there = target.seek(0)
    return there
