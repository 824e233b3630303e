"""The local store on a disk of its own: not mounted, unplugged, full, read-only, formatted as others do."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loomio_backup.config import Config, LocalStore, Stores
from loomio_backup.errors import StoreError, StoreFull, StoreNotFound
from loomio_backup.stores import open_stores
from loomio_backup.stores.base import Space
from loomio_backup.stores.local import LocalFolder

from .stores_bench import Sample, sample

EVERY_USE: dict[str, Callable[[LocalFolder, Sample, Path], object]] = {
    "put": lambda store, made, _: store.put("object", made.path, made.digests),
    "replace": lambda store, made, _: store.replace("object", made.path, made.digests),
    "get": lambda store, _, folder: store.get("object", folder / "fetched"),
    "list": lambda store, _, __: list(store.list()),
    "stat": lambda store, _, __: store.stat("object"),
    "source_path": lambda store, _, __: store.source_path("object"),
    "space": lambda store, _, __: store.space(),
    "probe": lambda store, _, __: store.probe(),
    "verify_access": lambda store, _, __: store.verify_access(),
}


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True)
    if done.returncode:
        pytest.skip(f"may not mount here: {done.stderr.decode().strip()}")


@contextmanager
def _tmpfs(place: Path, options: str = "size=8m") -> Iterator[None]:
    _mount("-t", "tmpfs", "-o", options, "tmpfs", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], capture_output=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A mount point."""
    (tmp_path / "usb").mkdir()
    return tmp_path / "usb"


@pytest.fixture
def made(tmp_path: Path) -> Sample:
    return sample(tmp_path, 3_000_000)


@pytest.mark.parametrize("use", EVERY_USE)
def test_without_its_disk_nothing_is_read_or_written(
    place: Path, made: Sample, tmp_path: Path, use: str
) -> None:
    store = LocalFolder(place / "loomio", place)
    with pytest.raises(StoreNotFound, match=r"no disk is mounted at .*SD card.*sudo mount") as caught:
        EVERY_USE[use](store, made, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("use", EVERY_USE)
def test_what_lies_below_the_empty_mount_point_is_not_the_store(
    place: Path, made: Sample, tmp_path: Path, use: str
) -> None:
    """A folder of that name on the SD card, from before somebody set mount_point, is not taken for it."""
    LocalFolder(place / "loomio").put("object", made.path, made.digests)
    with pytest.raises(StoreNotFound, match="no disk is mounted"):
        EVERY_USE[use](LocalFolder(place / "loomio", place), made, tmp_path)
    assert [path.name for path in (place / "loomio").iterdir()] == ["object"]


def test_a_mounted_disk_is_used_and_a_missing_one_hides_nothing(
    place: Path, made: Sample, tmp_path: Path
) -> None:
    stores = Stores(local=LocalStore(path=place / "a" / "b", mount_point=place))
    config = Config(host="pi", stores=stores, recipients=["age1x"], signing_public_key="x")
    store = open_stores(config, None)["local"]
    with _tmpfs(place):
        store.probe()
        store.put("object", made.path, made.digests)
        store.get("object", tmp_path / "fetched")
        assert [stored.name for stored in store.list()] == ["object"]
        space = store.space()
        assert (space.total, space.free) == (8 * 1024 * 1024, 8 * 1024 * 1024 - (space.used or 0))
        stored = store.stat("object")
        assert stored is not None
    with pytest.raises(StoreNotFound, match="no disk is mounted"):
        store.delete(stored)
    assert list(place.iterdir()) == []


def test_a_folder_of_somebody_else_becomes_roots(place: Path, made: Sample) -> None:
    """Scheduled backups have no power over it: what setup tries out with no more than theirs tells."""
    if os.geteuid() != 0:
        pytest.skip("takes root")
    folder = place / "loomio"
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    weak = ["setpriv", "--bounding-set", "-all,+dac_read_search", sys.executable, "-c", _PUT]
    done = subprocess.run([*weak, made.path, folder], capture_output=True, text=True)
    assert "StoreError" in done.stderr and "that root owns the folder" in done.stderr
    assert list(folder.iterdir()) == []
    LocalFolder(folder).probe()
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o7777) == (0, 0o700)
    assert subprocess.run([*weak, made.path, folder], capture_output=True).returncode == 0


def test_the_folder_itself_may_be_the_mount_point(place: Path, made: Sample) -> None:
    with _tmpfs(place):
        LocalFolder(place, place).put("object", made.path, made.digests)
        assert [path.name for path in place.iterdir()] == ["object"]


def test_a_sandbox_is_no_disk(place: Path, made: Sample) -> None:
    """systemd mounts what a unit may write over itself (ReadWritePaths=); that is still the SD card."""
    _mount("--bind", str(place), str(place))
    try:
        with pytest.raises(StoreNotFound, match="no disk is mounted"):
            LocalFolder(place / "loomio", place).put("object", made.path, made.digests)
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_link_that_leads_off_the_disk_is_not_followed(place: Path, made: Sample, tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    with _tmpfs(place):
        (place / "loomio").symlink_to(tmp_path / "card")
        with pytest.raises(StoreNotFound, match="no disk is mounted"):
            LocalFolder(place / "loomio", place).put("object", made.path, made.digests)
    assert list((tmp_path / "card").iterdir()) == []


def test_a_disk_that_goes_away_within_a_write(place: Path, made: Sample) -> None:
    """The mount is gone while the copy runs: nothing lands on what is below."""
    (place / "loomio").mkdir()
    store = LocalFolder(place / "loomio", place)

    def unplug(done: int) -> None:
        subprocess.run(["umount", "--lazy", str(place)], check=False)

    with _tmpfs(place):
        (place / "loomio").mkdir()
        with pytest.raises(StoreNotFound, match="no disk is mounted"):
            store.put("object", made.path, made.digests, progress=unplug)
    assert list((place / "loomio").iterdir()) == []


def test_a_folder_that_vanishes_within_a_write(made: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "loomio"
    store = LocalFolder(folder)
    with pytest.raises(StoreError, match="Check that the disk is there"):
        store.put("object", made.path, made.digests, progress=lambda _: shutil.rmtree(folder))
    assert not folder.exists()
    store.put("object", made.path, made.digests)


def test_a_folder_that_is_moved_away_within_a_write(made: Sample, tmp_path: Path) -> None:
    """The handle still leads to it, but nobody would find the object where it should be."""
    folder = tmp_path / "loomio"

    def move(done: int) -> None:
        if folder.exists():
            folder.rename(tmp_path / "elsewhere")

    with pytest.raises(StoreNotFound, match=r"vanished while object was written.*run the backup again"):
        LocalFolder(folder).put("object", made.path, made.digests, progress=move)


def test_a_full_disk_is_found_by_a_probe(place: Path, tmp_path: Path) -> None:
    with _tmpfs(place, "size=64k"):
        store, small = LocalFolder(place, place), sample(tmp_path, 60_000)
        store.put("object", small.path, small.digests)
        (place / "other").write_bytes(bytes(4096))
        with pytest.raises(StoreFull, match=r"no room left.*untouched.*Free some space"):
            store.probe()
        assert sorted(stored.name for stored in store.list()) == ["object", "other"]
        assert store.space().free == 0


def test_a_read_only_disk(place: Path, made: Sample) -> None:
    with _tmpfs(place):
        store = LocalFolder(place, place)
        store.put("object", made.path, made.digests)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        other = sample(made.path.parent, 10)
        for use in (store.verify_access, store.probe, lambda: store.put("x", other.path, other.digests)):
            with pytest.raises(StoreError, match=r"is read-only.*not changed.*fsck"):
                use()
        assert [stored.name for stored in store.list()] == ["object"]


def test_a_file_system_with_small_files_only(tmp_path: Path, made: Sample) -> None:
    """FAT32 ends at 4 GiB with this very error; here a process limit gives it at 1 MB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    store = LocalFolder(tmp_path / "loomio")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(StoreFull, match=r"cannot hold a file of that size.*exFAT"):
            store.put("object", made.path, made.digests)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "loomio").iterdir()) == []


_PUT = """
import sys
from pathlib import Path
from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.stores.local import LocalFolder
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
store = LocalFolder(folder)
store.put("object", source, as_it_is(source))
print(sorted(path.name for path in folder.iterdir()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give root's rights up")
def test_a_folder_whose_mode_cannot_be_changed_is_used_all_the_same(tmp_path: Path) -> None:
    """vfat and exFAT refuse chmod even to root. Here root lacks the right, which is the same error."""
    folder, made = tmp_path / "loomio", sample(tmp_path, 10)
    folder.mkdir(mode=0o755)
    os.chown(folder, 12345, 12345)
    program = ["setpriv", "--bounding-set", "-fowner,-chown", sys.executable, "-c", _PUT]
    done = subprocess.run(
        [*program, str(made.path), str(folder)],
        env={"PYTHONPATH": "files"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("['object']\n", "")
    assert folder.stat().st_mode & 0o777 == 0o755


FORMATS = {
    "vfat": (["mkfs.vfat"], ["mount", "-t", "vfat", "-o", "loop"]),
    "exfat": (["mkfs.exfat"], ["mount", "-t", "exfat", "-o", "loop"]),
    "fusefat": (["mkfs.vfat"], ["fusefat", "-o", "rw+"]),
    "ntfs": (["mkfs.ntfs", "-F", "-Q"], ["ntfs-3g"]),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_disks_of_another_world(place: Path, made: Sample, tmp_path: Path, kind: str) -> None:
    """As far as this machine can make and mount them."""
    make, mount = FORMATS[kind]
    if not all(shutil.which(command[0]) for command in (make, mount)):
        pytest.skip(f"{make[0]} or {mount[0]} is not installed")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    subprocess.run([*make, str(image)], check=True, capture_output=True)
    if subprocess.run([*mount, str(image), str(place)], capture_output=True).returncode:
        pytest.skip(f"this machine's kernel cannot mount {kind}")
    try:
        store = LocalFolder(place / "loomio", place)
        store.probe()
        stored = store.put("loomio_backup_20261123_020000.dump.zst.age", made.path, made.digests)
        assert list(store.list()) == [stored]
        store.replace("RECOVERY.md", made.path, made.digests)
        store.get(stored, tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == made.content
        assert store.put(stored.name, made.path, made.digests) == stored
        store.delete(stored)
        assert [found.name for found in store.list()] == ["RECOVERY.md"]
        space = store.space()
        assert space == Space(None, None, None) or 0 < (space.free or 0) < (space.total or 0)
    finally:
        subprocess.run(["umount", str(place)], check=True)
