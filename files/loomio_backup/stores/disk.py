"""The folder of a local store as the kernel sees it: mounted or not, opened once, written without surprises.

Everything in the folder is reached through one open handle. A disk that is unplugged, or a folder that is
removed, in the middle of a write thus ends in an error, never in a file elsewhere (on the SD card below an
empty mount point, for example). Disks may be formatted as FAT or exFAT: those keep no modes.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from loomio_backup.errors import StoreNotFound

PARTIAL = ".partial"
_UNSUPPORTED = (errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


def require_mounted(path: Path, mount_point: Path | None) -> None:
    """StoreNotFound unless a file system is mounted at `mount_point`, and `path` (or what there is of it)
    lies on it.
    """
    if mount_point is None:
        return
    device = _device(mount_point)
    if device is None or device == _device(mount_point.resolve().parent):
        raise not_mounted(path, mount_point)
    there = path
    while (found := _device(there)) is None:
        there = there.parent
    if found != device:
        raise not_mounted(path, mount_point)


def not_mounted(path: Path, mount_point: Path) -> StoreNotFound:
    """The disk is not there."""
    return StoreNotFound(
        f"no disk is mounted at {mount_point}, where the local store {path} should be. Nothing was written, "
        "and nothing was put on the SD card instead; the backups on the disk are as they were. Plug the disk "
        f"in, mount it (`sudo mount {mount_point}`), then try again."
    )


def _device(path: Path) -> int | None:
    """The device that `path` lies on; None where it does not exist. Opening it lets an automount happen."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.EIO):
            return None
        raise
    try:
        return os.fstat(handle).st_dev
    finally:
        os.close(handle)


@contextlib.contextmanager
def opened(path: Path, mount_point: Path | None) -> Iterator[int]:
    """A handle of the folder `path`, which is on the right disk; FileNotFoundError when it is absent."""
    require_mounted(path, mount_point)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if mount_point is not None and os.fstat(handle).st_dev != _device(mount_point):
            raise not_mounted(path, mount_point)
        yield handle
    finally:
        os.close(handle)


def make_private(path: Path, mount_point: Path | None) -> None:
    """Make the folder where it is absent, and close it to everybody else where the file system can."""
    require_mounted(path, mount_point)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with opened(path, mount_point) as folder:
        try:
            os.fchmod(folder, 0o700)
        except OSError as error:
            mine = os.geteuid() in (0, os.fstat(folder).st_uid)
            if error.errno not in _UNSUPPORTED or not mine:
                raise


def remove_leftovers(folder: int) -> None:
    """Remove unfinished files of writers that are gone: whoever still writes holds a lock."""
    for name in os.listdir(folder):
        if not (name.startswith(".") and name.endswith(PARTIAL)):
            continue
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(handle)


@contextlib.contextmanager
def new_file(name: str, folder: int | None = None) -> Iterator[IO[bytes]]:
    """A new file that nobody else may read, locked while it is written; removed if the block fails."""
    _unlink(name, folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        except BaseException:
            _unlink(name, folder)
            raise


def _unlink(name: str, folder: int | None) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def sync_folder(folder: int) -> None:
    """Make names durable. Some file systems of other worlds have no such thing for folders."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
