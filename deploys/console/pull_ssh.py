"""The Pi's local store, read over SSH: what `loomio-pi pull` copies from where there is no Google Drive.

The system's own ssh does the talking, with one connection for everything; on the Pi only find and tail run,
through sudo, whose password goes through standard input and never through an argument.
"""

import contextlib
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from inventories.settings import Host
from loomio_backup.errors import StoreAuth, StoreDamaged, StoreError, StoreNotFound, StoreUnavailable
from loomio_backup.stores.base import Progress, StoredObject, check_name

_BLOCK = 256 * 1024
_TRIES = 5  # in a row without a byte
_CONNECTION_LOST = 255  # ssh's own exit status; every other one is the command's
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
        self._name, self._path, self._password, self._wait = name, path, sudo_password, wait
        self._private = tempfile.TemporaryDirectory(prefix="loomio-pi-")
        self._options = [f"-p{host.port}", f"-l{host.user}", f"-S{self._private.name}/ssh"]
        options = {
            # One connection; it ends by itself should we be killed.
            "ControlMaster": "auto",
            "ControlPersist": "120",
            "ConnectTimeout": "30",
            "ServerAliveInterval": "15",
            # As pyinfra does, which has logged in before: another key than the known one is refused.
            "StrictHostKeyChecking": "accept-new",
        }
        if host.known_hosts:
            options["UserKnownHostsFile"] = f'"{host.known_hosts}"'
        if host.ssh_key:
            self._options.append(f"-i{host.ssh_key}")
        self._options += [f"-o{key}={value}" for key, value in options.items()]
        self._address = host.address

    def __enter__(self) -> "PiStore":
        return self

    def __exit__(self, *_: object) -> None:
        # Without a connection there is nothing to end, which ssh complains about.
        subprocess.run(["ssh", *self._options, "-Oexit", self._address], capture_output=True, check=False)
        self._private.cleanup()

    def __str__(self) -> str:
        return f"{self._path} on {self._name}"

    def list(self) -> Iterator[StoredObject]:
        """Every file in the folder that could be an object."""
        find = ["find", f"{self._path}/", "-maxdepth", "1", "-type", "f", "-printf", r"%s %T@ %f\0"]
        with self._command(f"listing {self}", *find) as output:
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
        with self._command(f"fetching {stored.name}", "tail", "-c", f"+{start + 1}", path) as output:
            while block := output.read(_BLOCK):
                done += len(block)
                if done > stored.size:
                    raise StoreDamaged(f"{path} on {self._name} grew while it was fetched. {_SAFE}")
                _write(target, block)
                if progress:
                    progress(done)
        if done < stored.size:
            raise StoreDamaged(f"{path} on {self._name} has {done} bytes instead of {stored.size}. {_SAFE}")

    @contextlib.contextmanager
    def _command(self, what: str, *command: str) -> Iterator[IO[bytes]]:
        """Run a command as root on the Pi, and hand out its output. Raises StoreError when it fails."""
        sudo = ["sudo", "-n"] if self._password is None else ["sudo", "-S", "-p", ""]
        remote = shlex.join(["env", "LC_ALL=C", *sudo, "--", *command])
        # When sudo needs no password it does not read the line, and neither does what it runs.
        line = "" if self._password is None else f"{self._password}\n"
        # Not a pipe: the connection, which stays open behind the command, would keep it open, too.
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                ["ssh", *self._options, self._address, remote],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
            assert process.stdin is not None and process.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(line.encode())
                with process.stdout:
                    yield process.stdout
                status = process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
            complaints.seek(0)
            if status:
                raise self._sentence(what, status, complaints.read(10_000).decode("utf-8", "replace"))

    def _sentence(self, what: str, status: int, complaints: str) -> StoreError:
        said = [line for line in complaints.splitlines() if line.strip()]
        last = said[-1].strip() if said else f"exit status {status}"
        if status == _CONNECTION_LOST:
            if "Permission denied" in complaints or "verification failed" in complaints:
                return StoreAuth(
                    f"{self._name} ({self._address}) does not let you in: {last}. {_SAFE} Is your key "
                    f"(hosts.{self._name}.ssh_key) right? After a new card, forget the old one's key with: "
                    f"ssh-keygen -R {self._address}"
                )
            return StoreUnavailable(
                f"{what} failed, because {self._name} ({self._address}) cannot be reached: {last}. {_SAFE} "
                "Is it switched on? Then run the same again."
            )
        if "sudo:" in complaints:
            return StoreAuth(
                f"{what} failed, because sudo on {self._name} refuses: {last}. {_SAFE} Correct hosts."
                f"{self._name}.sudo_password with: loomio-pi secrets edit"
            )
        if "No such file" in complaints:
            return StoreNotFound(f"{what} failed: it is not there ({last}). {_SAFE}")
        return StoreError(f"{what} failed: {last}. {_SAFE}")


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
