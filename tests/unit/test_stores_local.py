"""What only a local folder has: modes, temporary files, full and missing disks."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest

from loomio_backup.errors import StoreDamaged, StoreError, StoreFull
from loomio_backup.stores.local import LocalFolder

from .stores_bench import sample


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir(mode=0o755)
    made = sample(tmp_path, 10)
    previous = os.umask(0)
    try:
        LocalFolder(folder).put("object", made.path, made.digests)
    finally:
        os.umask(previous)
    assert (_mode(folder), _mode(folder / "object")) == (0o700, 0o600)


def test_leftovers_of_a_crash_are_hidden_and_then_removed(tmp_path: Path) -> None:
    folder, made = tmp_path / "backups", sample(tmp_path, 10)
    folder.mkdir()
    leftover, busy = folder / ".old.partial", folder / ".other.partial"
    leftover.write_bytes(b"half")
    busy.write_bytes(b"half")
    store = LocalFolder(folder)
    assert list(store.list()) == []
    with busy.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        store.put("object", made.path, made.digests)
        assert sorted(path.name for path in folder.iterdir()) == [".other.partial", "object"]


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    try:
        store = LocalFolder(disk / "backups")
        small, large = sample(tmp_path, 1_000_000, 1), sample(tmp_path, 3_000_000, 2)
        store.put("small", small.path, small.digests)
        with pytest.raises(StoreFull, match="untouched"):
            store.put("large", large.path, large.digests)
        assert [stored.name for stored in store.list()] == ["small"]
        assert [path.name for path in (disk / "backups").iterdir()] == ["small"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    made = sample(tmp_path, 10)
    store = LocalFolder(tmp_path / "file" / "backups")
    with pytest.raises(StoreError, match="Check that the disk is there"):
        store.put("object", made.path, made.digests)
    with pytest.raises(StoreError, match="Check that the disk is there"):
        list(store.list())


def test_a_truncated_object_is_noticed(tmp_path: Path) -> None:
    store, made = LocalFolder(tmp_path / "backups"), sample(tmp_path, 1000)
    stored = store.put("object", made.path, made.digests)
    os.truncate(tmp_path / "backups" / "object", 999)
    with pytest.raises(StoreDamaged, match="999 bytes instead of 1000"):
        store.get(stored, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
