"""What has to be there before a drill begins: memory and room that nobody else will miss."""

from pathlib import Path

from loomio_backup import docker, room
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.errors import DrillError
from loomio_backup.progress import bytes_text
from loomio_backup.stores import Store

DATABASE_MEMORY = 384 << 20
REDIS_MEMORY = 64 << 20
APP_MEMORY = 768 << 20
"""Limits of the containers: one process of Rails with three threads, and a database of few connections, stay
well below.
"""
_SPARE = 128 << 20
"""Stays for everybody else."""
_LOG = 1 << 30
"""PostgreSQL's own log (max_wal_size)."""


def available_memory(meminfo: str) -> int:
    """Bytes that can be taken without swapping, by the kernel's estimate (the text of /proc/meminfo)."""
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    raise DrillError("the kernel does not say how much memory is free, so no drill was begun.")


def require_memory(available: int) -> None:
    """Raise DrillError where the copy's database would take memory that Loomio needs."""
    needed = DATABASE_MEMORY + _SPARE
    if available < needed:
        raise DrillError(
            f"no drill was begun: {bytes_text(available)} of memory are free, and {bytes_text(needed)} are "
            "needed, so that Loomio does not notice. The backups are untouched. Is something else running? "
            "Try again at a quieter time (loomio-backup verify), or run the drill from your computer."
        )


def too_little_for_the_app(available: int) -> str | None:
    """Why the app is not started against the copy; None when there is memory for it."""
    needed = APP_MEMORY + REDIS_MEMORY + _SPARE
    if available >= needed:
        return None
    return f"{bytes_text(available)} of memory are free, {bytes_text(needed)} are needed"


def copies() -> Path:
    """Where, on this machine, Docker keeps what containers write."""
    return Path(docker.docker("info", "--format", "{{.DockerRootDir}}"))


def require_room(manifest: Manifest, store: Store, scratch: Path) -> None:
    """Raise RestoreError without room for the copy, its log, and one object at a time beside the index."""
    fetched = (
        entry.stored_size
        for entry in manifest.objects
        if entry.kind != "legacy" and store.source_path(entry.name) is None
    )
    # Indexes of the database are not in the dump, and a table of the files is larger than their list.
    room.require_restore(
        f"{manifest.name} for proof",
        {
            copies(): manifest.only("database").plain_size * 3 // 2 + _LOG,
            scratch: max(fetched, default=0) + manifest.only("index").plain_size * 2,
        },
    )
