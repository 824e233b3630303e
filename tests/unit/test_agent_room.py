"""Room is asked for before it gets tight: by the spool, the local store, and a restore."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomio_backup import room
from loomio_backup.errors import BackupError, RestoreError, StoreFull
from tests.lab.agent_disk import small_disk


def _megabytes(count: int) -> int:
    return count * 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where nothing is: what is asked for is the file system of what there is above."""
    return tmp_path / "not" / "there" / "yet"


def test_a_spool_under_the_floor_stops_the_backup(tmp_path: Path, disk: Path) -> None:
    room.require_spool(disk)
    room.require_spool(disk, room.free(tmp_path) - room.FLOOR - _megabytes(200))
    with pytest.raises(BackupError, match=r"needed.*untouched.*Make room"):
        room.require_spool(disk, room.free(tmp_path) - room.FLOOR + _megabytes(200))
    with small_disk(tmp_path / "small", 400_000), pytest.raises(BackupError, match=r"(409|410) MB free"):
        room.require_spool(tmp_path / "small")


def test_the_local_store_stops_before_the_spool_does(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 1_200_000) as small:
        free = room.free(small)
        size = free - 2 * room.FLOOR
        room.require_local_store(small, "x.dump", size, reserve=0)
        for size_, reserve in ((size + 1, 0), (size, 1)):
            with pytest.raises(StoreFull, match=r"x\.dump.*not put.*untouched.*larger one.*prune --dry-run"):
                room.require_local_store(small, "x.dump", size_, reserve)
        room.require_spool(small, size)


def test_a_restore_sums_up_what_shares_a_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 1_000_000) as small:
        left = room.free(small) - room.FLOOR
        room.require_restore("x", {small / "database": left, tmp_path: 10})
        with pytest.raises(RestoreError, match=r"restore x.*Nothing live was changed"):
            room.require_restore("x", {small / "database": left, small / "files": 1})
