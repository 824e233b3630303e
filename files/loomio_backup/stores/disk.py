"""The folder of a local store as the kernel sees it: mounted or not, opened once, written without surprises.

Everything in the folder is reached through one open handle. A disk that is unplugged, or a folder that is
removed, in the middle of a write thus ends in an error, never in a file elsewhere (on the SD card below an
empty mount point, for example). Disks may be formatted as FAT or exFAT: those keep no modes.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from loomio_backup.errors import StoreError, StoreFull, StoreNotFound

PARTIAL = ".partial"
_UNSUPPORTED = (errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def require_mounted(path: Path, mount_point: Path | None) -> None:
    """StoreNotFound unless a file system is mounted at `mount_point`, and `path` (or what there is of it)
    lies on it. A systemd unit that may write there has a mount of the same file system at that place, even
    when no disk is: so it is the device that tells.
    """
    if mount_point is None:
        return
    device = _device(mount_point)
    if device is None or device == _device(mount_point.resolve().parent):
        raise _not_mounted(path, mount_point)
    if _device(existing(path)) != device:
        raise _not_mounted(path, mount_point)


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def _not_mounted(path: Path, mount_point: Path) -> StoreNotFound:
    return StoreNotFound(
        f"no disk is mounted at {mount_point}, where the local store {path} should be. Nothing was written, "
        "and nothing was put on the SD card instead; the backups on the disk are as they were. Plug the disk "
        f"in, mount it (`sudo mount {mount_point}`), then try again."
    )


def _device(path: Path) -> int | None:
    """The device that `path` lies on; None where there is nothing. Opening it lets an automount happen."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (*_ABSENT, *_GONE):
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
    handle = os.open(path, _FOLDER)
    try:
        if mount_point is not None and os.fstat(handle).st_dev != _device(mount_point):
            raise _not_mounted(path, mount_point)
        yield handle
    finally:
        os.close(handle)


def make_private(path: Path, mount_point: Path | None) -> None:
    """Make the folder where it is absent, and close it to everybody else where the file system can."""
    require_mounted(path, mount_point)
    if mount_point is None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    else:
        _make_below(mount_point, path)
    with opened(path, mount_point) as folder:
        _close(folder)


def _close(folder: int) -> None:
    """Let root alone in, where the file system has owners and modes. Scheduled backups have no power over
    another user's folder (templates/loomio-backup.service.j2), so it is taken over where that may be done.
    """
    if os.geteuid() == 0 and os.fstat(folder).st_uid != 0:
        with _where_supported(folder):
            os.fchown(folder, 0, 0)
    with _where_supported(folder):
        os.fchmod(folder, 0o700)


@contextlib.contextmanager
def _where_supported(folder: int) -> Iterator[None]:
    """Let a file system go without what it does not have; a folder that is not ours is an error."""
    try:
        yield
    except OSError as error:
        mine = os.geteuid() in (0, os.fstat(folder).st_uid)
        if error.errno not in _UNSUPPORTED or not mine:
            raise


def _make_below(mount_point: Path, path: Path) -> None:
    """Like mkdir -p, but nothing is made on another disk, should this one go away meanwhile."""
    with contextlib.ExitStack() as stack, opened(mount_point, mount_point) as handle:
        for part in path.relative_to(mount_point).parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=handle)
            handle = os.open(part, _FOLDER, dir_fd=handle)
            stack.callback(os.close, handle)


@contextlib.contextmanager
def _alone(folder: int) -> Iterator[None]:
    """Keep other writers waiting: a new file is nobody's for the moment until it is locked."""
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def remove_leftovers(folder: int) -> None:
    """Remove unfinished files of writers that are gone: whoever still writes holds a lock."""
    with _alone(folder):
        for name in names(folder):
            if not (name.startswith(".") and name.endswith(PARTIAL)):
                continue
            with contextlib.suppress(FileNotFoundError, BlockingIOError), open_file(name, folder) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)


def names(folder: int) -> list[str]:
    """Of everything in the folder, hidden files included."""
    return sorted(os.listdir(folder))


def open_file(name: str, folder: int) -> BufferedReader:
    """A file of the folder, for reading."""
    return os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb")


@contextlib.contextmanager
def new_file(name: str, folder: int) -> Iterator[BinaryIO]:
    """A file that is to be called `name`, and is when the block ends well; nobody else may read it. Until
    then it has a name that no other writer uses, and is locked; it is removed if the block fails.
    """
    partial = f".{name}.{secrets.token_hex(4)}{PARTIAL}"
    with _alone(folder):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.fdopen(os.open(partial, flags, 0o600, dir_fd=folder), "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
    with file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
            raise


def status(name: str, folder: int) -> os.stat_result | None:
    """Of a file in the folder; None when there is no such file."""
    try:
        found = os.stat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def sync_folder(folder: int) -> None:
    """Make names durable. Some file systems of other worlds have no such thing for folders."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def sentence(path: Path, error: OSError) -> StoreError:
    """What an error of the system means for the local store at `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(
            f"no room left in {path}. The backups in it are untouched, the new one is not in it. "
            "Free some space (or use a larger disk) and run the backup again."
        )
    if error.errno == errno.EFBIG:
        return StoreFull(
            f"the disk of {path} cannot hold a file of that size (FAT32 ends at 4 GiB). The backups in it "
            "are untouched, the new one is not in it. Use a disk that is formatted as ext4 or exFAT."
        )
    if error.errno == errno.EROFS:
        return StoreError(
            f"the disk of {path} is read-only (a file system that found itself damaged becomes so). What it "
            "holds was not changed. Look at `sudo dmesg`, check the disk with fsck, mount it again."
        )
    if error.errno in _GONE:
        return StoreError(
            f"the disk of {path} does not answer ({error.strerror}): it was unplugged, or it is dying. "
            "Nothing is known to be lost. Look at `sudo dmesg` and at its cable; then try again, or use "
            "another disk."
        )
    return StoreError(
        f"the local store {path} cannot be used ({error.strerror or error}). What it holds was not changed. "
        "Check that the disk is there and writable, and that root owns the folder (mount it without uid=)."
    )
