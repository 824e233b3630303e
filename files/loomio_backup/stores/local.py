"""The local store: a plain folder, on the SD card or on a disk plugged into the Pi.

An object appears by rename, after its bytes are on the disk; a power cut leaves it whole or absent. The
folder is 0700 and its files 0600. Unfinished files are hidden (`.NAME.partial`) and locked by their writer,
so that leftovers of a crash are recognised and removed by the next writer.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from loomio_backup import clock
from loomio_backup.errors import StoreConflict, StoreDamaged, StoreError, StoreFull, StoreNotFound
from loomio_backup.stores import disk, probe
from loomio_backup.stores.base import Progress, Space, StoredObject, UploadMemory, check_name, check_source

if TYPE_CHECKING:
    from loomio_backup.objects import Digests

_BLOCK = 1024 * 1024


class LocalFolder:
    """Objects as files of the directory `path`, which is made on the first write. With `mount_point` nothing
    happens unless a disk is mounted there.
    """

    kind: Literal["local"] = "local"
    append_only = False

    def __init__(self, path: Path, mount_point: Path | None = None) -> None:
        self._path, self._mount_point = path, mount_point

    def clone(self) -> "LocalFolder":
        """See Store.clone."""
        return LocalFolder(self._path, self._mount_point)

    def now(self) -> datetime:
        """See Store.now: this Pi's clock, which also dates the files."""
        return clock.now()

    def space(self) -> Space:
        """See Store.space: of the file system that the folder is, or will be, on."""
        with self._told():
            disk.require_mounted(self._path, self._mount_point)
            there = self._path
            while not there.exists():
                there = there.parent
            found = os.statvfs(there)
            block = found.f_frsize
            used = (found.f_blocks - found.f_bfree) * block
            return Space(found.f_blocks * block, used, found.f_bavail * block)

    def source_path(self, name: str) -> Path | None:
        """See Store.source_path."""
        return self._path / name if self.stat(name) is not None else None

    def verify_access(self) -> None:
        """See Store.verify_access."""
        with self._told():
            disk.make_private(self._path, self._mount_point)
            if not os.access(self._path, os.W_OK):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def probe(self) -> None:
        """See Store.probe."""
        probe.probe(self)

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
        memory: UploadMemory | None = None,
    ) -> StoredObject:
        """See Store.put; `object_id` and `memory` mean nothing here."""
        check_name(name)
        check_source(name, path, digests)
        found = self.stat(name)
        if found is not None:
            if self._hash(name) != (digests.stored_size, digests.stored_sha256):
                raise StoreConflict(
                    f"{self._path / name} exists with other content. It was left as it is, and {name} was "
                    "not stored. Move that file away and run the backup again."
                )
            return found
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
        partial = destination.with_name(f".{destination.name}{disk.PARTIAL}")
        try:
            with disk.new_file(str(partial)) as target, (self._path / name).open("rb") as source:
                _copy(source, target, progress)
            partial.replace(destination)
        except OSError as error:
            raise StoreError(
                f"{name} could not be copied from {self._path} to {destination} ({error.strerror}). "
                "The object itself was not changed."
            ) from error
        return found

    def list(self) -> Iterator[StoredObject]:
        """See Store.list; an absent folder holds nothing, an absent disk is an error."""
        with self._told():
            disk.require_mounted(self._path, self._mount_point)
            try:
                names = sorted(entry.name for entry in self._path.iterdir() if entry.is_file())
            except FileNotFoundError:
                return
        for name in names:
            if not name.startswith(".") and (found := self.stat(name)) is not None:
                yield found

    def stat(self, name: str, object_id: str | None = None) -> StoredObject | None:
        """See Store.stat; a name is enough here."""
        check_name(name)
        with self._told():
            try:
                with disk.opened(self._path, self._mount_point) as folder:
                    return _describe(name, folder)
            except FileNotFoundError:
                return None

    def delete(self, stored: StoredObject) -> None:
        """See Store.delete."""
        check_name(stored.name)
        with self._told():
            try:
                with disk.opened(self._path, self._mount_point) as folder:
                    os.unlink(stored.name, dir_fd=folder)
                    disk.sync_folder(folder)
            except FileNotFoundError:
                return

    # -- details ---------------------------------------------------------------------------------------------

    def _write(self, name: str, path: Path, digests: "Digests", progress: Progress | None) -> StoredObject:
        partial = f".{name}{disk.PARTIAL}"
        with self._told():
            disk.make_private(self._path, self._mount_point)
            with disk.opened(self._path, self._mount_point) as folder:
                disk.remove_leftovers(folder)
                with disk.new_file(partial, folder) as target, path.open("rb") as source:
                    written = _copy(source, target, progress)
                    if written != (digests.stored_size, digests.stored_sha256):
                        raise StoreDamaged(
                            f"{name} changed while it was copied to {self._path}, so it was not stored. "
                            "What was there before is untouched. Run the backup again; if this repeats, test "
                            "memory and disk."
                        )
                    os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
                disk.sync_folder(folder)
                return _describe(name, folder)

    def _hash(self, name: str) -> tuple[int, str]:
        with self._told(), (self._path / name).open("rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the system's errors into sentences."""
        try:
            yield
        except OSError as error:
            raise self._broken(error) from error

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


def _describe(name: str, folder: int) -> StoredObject:
    status = os.stat(name, dir_fd=folder)
    created = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredObject(name, status.st_size, None, None, None, created)


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
