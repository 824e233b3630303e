"""The agent's own directory on the Pi: lock, spool and the key that only this Pi has."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from loomio_backup.encryption import crypto
from loomio_backup.errors import AgentError
from loomio_backup.progress import say


class StateDirectory:
    """`/var/lib/loomio-backup`, made when absent, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            self.spool.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise AgentError(
                f"cannot use the state directory {path} ({error.strerror}). Nothing was done. Run as root."
            ) from error

    @property
    def spool(self) -> Path:
        """Objects on their way to the stores. Plain data only while a person has one table extracted, below a
        directory of ours; whatever a killed run leaves goes with the next one.
        """
        return self.path / "spool"

    @property
    def catalogue(self) -> Path:
        """The SQLite file of catalogue.py."""
        return self.path / "catalogue.sqlite"

    @property
    def restore_result(self) -> Path:
        """The JSON report of the last finished restore."""
        return self.path / "restore-result.json"

    @property
    def restore_journal(self) -> Path:
        """How far the last restore came."""
        return self.path / "restore-journal.json"

    def catalogue_identity(self) -> str:
        """The age identity that opens manifests and indexes on this Pi and nothing else; made when absent."""
        path = self.path / "catalogue.key"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text(encoding="ascii").strip()
        identity = crypto.generate_identity()
        write_private(path, identity + "\n")
        return identity

    def empty_spool(self) -> None:
        """Remove what an interrupted run left in the spool. Only for the holder of the lock."""
        for entry in self.spool.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    @contextlib.contextmanager
    def locked(self, verb: str, wait: bool = False) -> Iterator[None]:
        """Hold the one lock that keeps backups and restores apart; the kernel lets go of it if we die.

        Raises AgentError when somebody else holds it; with `wait`, waits for them to finish instead.
        """
        with self._placed(), (self.path / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "starting"
                if not wait:
                    raise AgentError(
                        f"{verb} was not started: another one is running ({holder}). "
                        "It goes on undisturbed; try again when it has finished."
                    ) from None
                say(f"{verb} waits until another one has finished ({holder})")
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(f"{verb}, process {os.getpid()}\n")
            file.flush()
            with (self.path / "running").open("a", encoding="utf-8") as running:
                fcntl.flock(running, fcntl.LOCK_EX)  # at once, or as soon as `running` has had its look
                yield

    def running(self) -> str | None:
        """What holds the lock now ("a backup, process 17"), or None. Looks without taking the lock: a backup
        that begins at this moment would fail.
        """
        try:
            with (self.path / "running").open("r", encoding="utf-8") as running:
                fcntl.flock(running, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return (self.path / "lock").read_text(encoding="utf-8").strip() or "starting"
        return None

    @contextlib.contextmanager
    def _placed(self) -> Iterator[None]:
        """Say where we were working when the system names no file: it names none when a write fails."""
        try:
            yield
        except OSError as error:
            if error.filename is None:
                error.add_note(f"while working in {self.path}")
            raise


def write_private(path: Path, text: str) -> None:
    """Write a small file, mode 0600, so that it is either the old or the new one whatever happens."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
