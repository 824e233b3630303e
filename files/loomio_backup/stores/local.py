"""The local store: a plain folder, on the SD card or on a disk plugged into the Pi.

An object appears by rename, after its bytes are on the disk; a power cut leaves it whole or absent. The
folder is 0700 and its files 0600. Unfinished files are hidden (`.NAME.partial`) and locked by their writer,
so that leftovers of a crash are recognised and removed by the next writer.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from loomio_backup.errors import StoreConflict, StoreDamaged, StoreError, StoreFull, StoreNotFound
from loomio_backup.stores.base import Progress, StoredObject, check_name, check_source

if TYPE_CHECKING:
    from loomio_backup.objects import Digests

_BLOCK = 1024 * 1024
_PARTIAL = ".partial"


class LocalFolder:
    """Objects as files of the directory `path`, which is made on the first write."""

    kind: Literal["local"] = "local"

    def __init__(self, path: Path) -> None:
        self._path = path

    def reserve_id(self) -> None:
        """Names are enough here."""

    def put(
        self,
        name: str,
        path: Path,
        digests: "Digests",
        *,
        object_id: str | None = None,
        progress: Progress | None = None,
    ) -> StoredObject:
        """See Store.put; `object_id` means nothing here."""
        check_name(name)
        check_source(name, path, digests)
        if (self._path / name).exists():
            if _hash(self._path / name) != (digests.stored_size, digests.stored_sha256):
                raise StoreConflict(
                    f"{self._path / name} exists with other content. It was left as it is, and {name} was "
                    "not stored. Move that file away and run the backup again."
                )
            return self._describe(name)
        return self._write(name, path, digests, progress)

    def replace(self, name: str, path: Path, digests: "Digests") -> StoredObject:
        """See Store.replace."""
        check_name(name)
        check_source(name, path, digests)
        return self._write(name, path, digests, None)

    def get(
        self, name_or_object: str | StoredObject, destination: Path, progress: Progress | None = None
    ) -> StoredObject:
        """See Store.get. The folder keeps no hashes, so only the size can be compared here."""
        name = name_or_object if isinstance(name_or_object, str) else name_or_object.name
        found = self.stat(name)
        if found is None:
            raise StoreNotFound(f"there is no object {name} in {self._path}.")
        expected = found.size if isinstance(name_or_object, str) else name_or_object.size
        if found.size != expected:
            raise StoreDamaged(
                f"{self._path / name} has {found.size} bytes instead of {expected}: it is damaged. "
                "It was left as it is; take another backup, or the copy in another store."
            )
        partial = destination.with_name(f".{destination.name}{_PARTIAL}")
        try:
            with _new_file(partial) as target, (self._path / name).open("rb") as source:
                _copy(source, target, progress)
            partial.replace(destination)
        except OSError as error:
            raise StoreError(
                f"{name} could not be copied from {self._path} to {destination} ({error.strerror}). "
                "The object itself was not changed."
            ) from error
        return found

    def list(self) -> Iterator[StoredObject]:
        """See Store.list; an absent folder holds nothing."""
        try:
            names = sorted(entry.name for entry in self._path.iterdir() if entry.is_file())
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._broken(error) from error
        for name in names:
            if not name.startswith(".") and (found := self.stat(name)) is not None:
                yield found

    def stat(self, name: str) -> StoredObject | None:
        """See Store.stat."""
        check_name(name)
        try:
            return self._describe(name)
        except FileNotFoundError:
            return None

    def delete(self, stored: StoredObject) -> None:
        """See Store.delete."""
        check_name(stored.name)
        try:
            (self._path / stored.name).unlink(missing_ok=True)
            self._sync_folder()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._broken(error) from error

    # -- details ---------------------------------------------------------------------------------------------

    def _describe(self, name: str) -> StoredObject:
        status = (self._path / name).stat()
        created = datetime.fromtimestamp(status.st_mtime, UTC)
        return StoredObject(name, status.st_size, None, None, None, created)

    def _write(self, name: str, path: Path, digests: "Digests", progress: Progress | None) -> StoredObject:
        try:
            self._prepare()
            with _new_file(self._path / f".{name}{_PARTIAL}") as target, path.open("rb") as source:
                written = _copy(source, target, progress)
                if written != (digests.stored_size, digests.stored_sha256):
                    raise StoreDamaged(
                        f"{name} changed while it was copied to {self._path}, so it was not stored. What "
                        "was there before is untouched. Run the backup again; if this repeats, test memory "
                        "and disk."
                    )
                Path(target.name).rename(self._path / name)
            self._sync_folder()
            return self._describe(name)
        except OSError as error:
            raise self._broken(error) from error

    def _prepare(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.chmod(0o700)
        for leftover in self._path.glob(f".*{_PARTIAL}"):
            with leftover.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # somebody is writing it right now
                leftover.unlink(missing_ok=True)

    def _sync_folder(self) -> None:
        handle = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _broken(self, error: OSError) -> StoreError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull(
                f"no room left in {self._path}. The backups in it are untouched, the new one is not in it. "
                "Free some space (or use a larger disk) and run the backup again."
            )
        return StoreError(
            f"the local store {self._path} cannot be used ({error.strerror or error}). What it holds was "
            "not changed. Check that the disk is there and writable."
        )


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that nobody else may read, locked while it is written; removed if the block fails."""
    path.unlink(missing_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _copy(source: IO[bytes], target: IO[bytes], progress: Progress | None) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while block := source.read(_BLOCK):
        target.write(block)
        digest.update(block)
        size += len(block)
        if progress:
            progress(size)
    target.flush()
    os.fsync(target.fileno())
    return size, digest.hexdigest()


def _hash(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
