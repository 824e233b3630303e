"""The local store: a plain folder, on the SD card or on a disk plugged into the Pi.

An object appears by rename, after its bytes are on the disk; a power cut leaves it whole or absent. The
folder is 0700 and its files 0600. Unfinished files are hidden (`.NAME.….partial`) and locked by their writer,
so that leftovers of a crash are recognised and removed by the next writer.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from loomio_backup import clock
from loomio_backup.errors import StoreConflict, StoreDamaged, StoreError, StoreNotFound
from loomio_backup.stores import disk, probe
from loomio_backup.stores.base import Progress, Space, StoredObject, UploadMemory, check_name, check_source

if TYPE_CHECKING:
    from loomio_backup.catalogue.objects import Digests

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
            found = os.statvfs(disk.existing(self._path))
        if not found.f_blocks:  # some file systems cannot tell
            return Space(None, None, None)
        block = found.f_frsize
        used = (found.f_blocks - found.f_bfree) * block
        return Space(found.f_blocks * block, used, found.f_bavail * block)

    def source_path(self, name: str) -> Path | None:
        """See Store.source_path; None also for what is not there."""
        return None if self.stat(name) is None else self._path / name

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
        if found is None:
            return self._write(name, path, digests, progress)
        if (found.size, self._sha256(name)) != (digests.stored_size, digests.stored_sha256):
            raise StoreConflict(
                f"{self._path / name} exists with other content. It was left as it is, and {name} was "
                "not stored. Move that file away and run the backup again."
            )
        return found

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
        try:
            with (
                self._read(name) as source,
                disk.opened(destination.parent, None) as folder,
                disk.new_file(destination.name, folder) as target,
            ):
                _copy(self._path / name, source, target, progress)
        except OSError as error:
            raise StoreError(
                f"{name} could not be copied from {self._path} to {destination} ({error.strerror}). "
                "The object itself was not changed."
            ) from error
        return found

    def list(self) -> Iterator[StoredObject]:
        """See Store.list; an absent folder holds nothing, an absent disk is an error."""
        with self._told():
            try:
                with disk.opened(self._path, self._mount_point) as folder:
                    names = disk.names(folder)
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
                    status = disk.status(name, folder)
            except FileNotFoundError:
                return None
        if status is None:
            return None
        return StoredObject(
            name, status.st_size, None, None, None, datetime.fromtimestamp(status.st_mtime, UTC)
        )

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
        with self._told(), _open(path) as source:
            disk.make_private(self._path, self._mount_point)
            with disk.opened(self._path, self._mount_point) as folder:
                disk.remove_leftovers(folder)
                with disk.new_file(name, folder) as target:
                    written = _copy(path, source, target, progress)
                    if written != (digests.stored_size, digests.stored_sha256):
                        raise StoreDamaged(
                            f"{name} changed while it was copied to {self._path}, so it was not stored. "
                            "What was there before is untouched. Run the backup again; if this repeats, test "
                            "memory and disk."
                        )
                disk.sync_folder(folder)
        # By its path once more: the folder, or the whole disk, may have been taken away while it was written.
        stored = self.stat(name)
        if stored is None:
            raise StoreNotFound(
                f"{self._path} vanished while {name} was written to it. Nothing else was changed. Check that "
                "the disk is there, then run the backup again."
            )
        return stored

    @contextmanager
    def _read(self, name: str) -> Iterator[BufferedReader]:
        with disk.opened(self._path, self._mount_point) as folder, disk.open_file(name, folder) as file:
            yield file

    def _sha256(self, name: str) -> str:
        with self._told(), self._read(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the system's errors into sentences."""
        try:
            yield
        except OSError as error:
            raise disk.sentence(self._path, error) from error


def _copy(path: Path, source: BinaryIO, target: BinaryIO, progress: Progress | None) -> tuple[int, str]:
    """Bytes copied from the file `path`, and their SHA-256 (hex)."""
    size, digest = 0, hashlib.sha256()
    while block := _block(path, source):
        target.write(block)
        digest.update(block)
        size += len(block)
        if progress:
            progress(size)
    return size, digest.hexdigest()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _block(path: Path, source: BinaryIO) -> bytes:
    try:
        return source.read(_BLOCK)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be read ({error.strerror}), so nothing was copied. What was there before is "
        "untouched. Check its disk, then try again."
    )
