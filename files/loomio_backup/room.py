"""Room on the file systems that PostgreSQL and the Pi itself live on: refuse before it gets tight.

A database that cannot write its log stops, and so does the Loomio on it. So nothing of ours ever fills a file
system: below a floor the backup is not begun, the local store takes nothing, a restore does not start. The
local store has to stop first, so that the spool still has room for what is on its way to Drive.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from loomio_backup.errors import BackupError, RestoreError, StoreFull
from loomio_backup.progress import bytes_text
from loomio_backup.stores.base import Store

FLOOR = 512_000_000
"""Bytes that stay free on every file system we write to. PostgreSQL writes its log in files of 16 MB and lets
it grow to 1 GB only under load that no Loomio on a Pi sees between two checkpoints; the rest is for the
system's own logs and for somebody to log in and make room. A share of the disk would be far too much on a
large one.
"""
_STORE_FLOOR = 2 * FLOOR


def free(path: Path) -> int:
    """Bytes that are free for us on the file system of `path`, which need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def require_spool(spool: Path, needed: int = 0) -> None:
    """Raise BackupError when `needed` bytes in the spool would leave less than the floor."""
    found = free(spool)
    if found - needed < FLOOR:
        raise BackupError(
            f"no backup was made: the disk of {spool} has {bytes_text(found)} free"
            f"{f', {bytes_text(needed)} are needed' if needed else ''}, and {bytes_text(FLOOR)} have to stay "
            "free, so that the database can go on. Loomio and all earlier backups are untouched. Make room "
            "on that disk (docker image prune removes what old versions left), then type: loomio-backup run"
        )


def fits_spool(spool: Path, needed: int) -> bool:
    """Whether so many bytes more in the spool leave the floor."""
    return free(spool) - needed >= FLOOR


def require_local_store(folder: Path, name: str, size: int, reserve: int) -> None:
    """Raise StoreFull when `name` (of `size` bytes) in the local store would leave too little: twice the
    floor, and `reserve` bytes for the spool.
    """
    found, keep = free(folder), _STORE_FLOOR + reserve
    if found - size < keep:
        raise StoreFull(
            f"{name} ({bytes_text(size)}) was not put into the local store {folder}: its disk has "
            f"{bytes_text(found)} free, and {bytes_text(keep)} have to stay free for the database and the "
            "next backups. The backups in it are untouched. Free some of this disk, use a larger one, unpin "
            "what need not stay (loomio-backup unpin NAME), or keep fewer backups (backup.local.retention in "
            "the settings): loomio-backup prune --dry-run says what keeps those that are there."
        )


def shortage(store: Store, needed: int, reserve: int = 0) -> int:
    """Bytes that have to be freed in a store before `needed` more may go there; `reserve` as above. Raises
    StoreError when the store cannot be asked.
    """
    found = store.space().free
    if found is None:
        return 0
    keep = _STORE_FLOOR + reserve if store.kind == "local" else 0
    return max(0, needed + keep - found)


def require_restore(name: str, needs: Mapping[Path, int], *, can_stream: bool = True) -> None:
    """Raise RestoreError when the bytes that a restore needs at these places (summed up where they share a
    file system) would leave less than the floor. `can_stream`: whether streaming mode is a way out.
    """
    way_out = (
        " Or add --streaming: what is live is then backed up (pinned) and removed first, so that it is not "
        "kept aside, there is no undo, and Loomio is down until the restore is done."
    )
    needed: dict[int, int] = {}
    for path, size in needs.items():
        existing = path
        while not existing.exists():
            existing = existing.parent
        device = existing.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        found = free(existing)
        if found - needed[device] < FLOOR:
            raise RestoreError(
                f"there is no room to restore {name}: the disk of {existing} has {bytes_text(found)} free, "
                f"the restored data needs {bytes_text(needed[device])} beside what is there now, and "
                f"{bytes_text(FLOOR)} have to stay free. Nothing live was changed. Make room on that disk, "
                f"or use a larger one, then run the same again.{way_out if can_stream else ''}"
            )
