"""`import-folder`: whatever a browser made of a folder in Drive becomes a copy to come back from."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventories.new_secrets import new_text
from loomio_backup.stores.local import LocalFolder
from tests.unit import operator_desk
from tests.unit.operator_desk import Desk, Finished
from tests.unit.pull_bench import PiBackups, flip


@dataclass
class Table:
    """An operator's desk, and what was downloaded."""

    desk: Desk
    pi: PiBackups
    download: Path

    @property
    def copy(self) -> Path:
        return self.desk.folder / "copy"

    def take_in(self, place: Path | None = None) -> Finished:
        return self.desk.type("loomio-pi", "import-folder", str(place or self.download), str(self.copy))

    def whole(self) -> None:
        """Every object of the Pi's is in the copy as it was."""
        for path in self.pi.folder.iterdir():
            assert (self.copy / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.fixture
def table(tmp_path: Path) -> Table:
    text = new_text(["loomio"])
    desk = Desk(tmp_path)
    desk.prepare(operator_desk.encrypted(text))
    pi = PiBackups(tmp_path / "pi", text)
    pi.make(["app-data_1", "app-data_shared"], hours_ago=0.5)
    pi.make(["app-data_2", "app-data_shared"], hours_ago=0.2)
    download = tmp_path / "Downloads"
    download.mkdir()
    return Table(desk, pi, download)


def zipped(paths: list[Path], archive: Path, folder: str = "Loomio backups/") -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in paths:
            file.write(path, folder + path.name)


def test_drives_zips_and_what_browsers_do_to_names(table: Table) -> None:
    paths = sorted(table.pi.folder.iterdir())
    zipped(paths[:3], table.download / "Loomio backups-20261123T020000Z-001.zip")
    zipped(paths[2:5], table.download / "Loomio backups-20261123T020000Z-002 (1).zip")
    nested = table.download / "Loomio backups" / "again"
    nested.mkdir(parents=True)
    for number, path in enumerate(paths[5:]):
        shutil.copy(path, nested / f"{path.stem} ({number}){path.suffix}")
    (table.download / "holiday.jpg").write_bytes(b"\xff\xd8 no object")
    done = table.take_in()
    assert (done.code, done.stderr) == (0, "")
    assert "2 backups are complete here" in done.stdout
    assert f"loomio-pi deploy disaster_recovery --data from={table.copy}" in done.stdout
    table.whole()
    assert (table.copy / "RECOVERY.md").exists()
    # It is a store like any other.
    assert len([one for one in LocalFolder(table.copy).list() if one.name.endswith(".manifest.age")]) == 2


def test_names_that_say_nothing(table: Table) -> None:
    for number, path in enumerate(sorted(table.pi.folder.iterdir())):
        shutil.copy(path, table.download / str(number))
    assert table.take_in().code == 0
    table.whole()


def test_one_zip_by_its_own_name(table: Table) -> None:
    archive = table.download / "all.zip"
    zipped(sorted(table.pi.folder.iterdir()), archive)
    assert table.take_in(archive).code == 0
    table.whole()


def test_names_in_a_zip_are_never_paths(table: Table) -> None:
    for folder in ("../../escape/", "/tmp/escape/", "C:\\escape\\", "a/\x1b[2J/"):
        archive = table.download / f"{len(folder)}.zip"
        zipped(sorted(table.pi.folder.iterdir()), archive, folder)
    before = {path for path in table.desk.folder.parent.rglob("*") if table.copy not in path.parents}
    assert table.take_in().code == 0
    table.whole()
    after = {path for path in table.desk.folder.parent.rglob("*") if table.copy not in path.parents}
    assert after - before == {table.copy}


def test_what_is_missing_is_named_and_what_is_whole_is_kept(table: Table) -> None:
    older, newer = table.pi.made
    for path in table.pi.folder.iterdir():
        shutil.copy(path, table.download)
    lacking = f"{newer.name}.dump.zst.age"
    (table.download / lacking).unlink()
    done = table.take_in()
    assert done.code == 1
    # Although it is minutes old: nothing is still on its way into a folder.
    assert f"{newer.name} is not complete at the source: {lacking} missing or damaged there" in done.stderr
    assert "1 backups are complete here" in done.stdout
    assert (table.copy / older.manifest_name).exists()
    assert not (table.copy / newer.manifest_name).exists()
    # What was missing comes later.
    shutil.copy(table.pi.folder / lacking, table.download / "download")
    assert table.take_in().code == 0
    table.whole()


def test_what_was_damaged_on_the_way_is_noticed(table: Table) -> None:
    newer = table.pi.made[1]
    for path in table.pi.folder.iterdir():
        shutil.copy(path, table.download)
    flip(table.download / f"{newer.name}.dump.zst.age")
    flip(table.download / newer.manifest_name)
    done = table.take_in()
    assert done.code == 1
    assert f"{newer.manifest_name} is damaged: " in done.stderr
    assert "1 backups are complete here" in done.stdout


def test_a_download_that_was_cut_short_is_told(table: Table) -> None:
    archive = table.download / "backups-001.zip"
    zipped(sorted(table.pi.folder.iterdir()), archive)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    done = table.take_in()
    assert done.code == 1
    assert (
        "backups-001.zip is no whole zip: its download was cut short. Download it once more." in done.stderr
    )
    assert "select the whole folder" in done.stderr


def test_a_zip_with_altered_bytes_gives_what_is_whole(table: Table) -> None:
    newer = table.pi.made[1]
    archive = table.download / "backups-001.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(table.pi.folder.iterdir()):
            file.write(path, path.name)
    offset = archive.read_bytes().index((table.pi.folder / f"{newer.name}.dump.zst.age").read_bytes())
    data = bytearray(archive.read_bytes())
    data[offset + 5000] ^= 1
    archive.write_bytes(data)
    done = table.take_in()
    assert done.code == 1
    assert "cannot be unpacked" in done.stderr
    assert "1 backups are complete here" in done.stdout


def test_a_bomb_is_not_unpacked(table: Table) -> None:
    for path in table.pi.folder.iterdir():
        shutil.copy(path, table.download)
    with (
        zipfile.ZipFile(table.download / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros.age", "w", force_zip64=True) as member,
    ):
        for _ in range(256):
            member.write(bytes(1 << 20))
    done = table.take_in()
    assert done.code == 0, done.stderr
    table.whole()
    assert sum(path.stat().st_size for path in table.copy.rglob("*")) < 10 << 20


def test_another_key_opens_nothing_and_says_so(table: Table) -> None:
    for path in table.pi.folder.iterdir():
        shutil.copy(path, table.download)
    table.desk.secrets.write_bytes(operator_desk.encrypted(new_text(["loomio"])))
    done = table.take_in()
    assert done.code == 1
    assert "files there are encrypted for another key: is it the secrets file of this Pi?" in done.stderr
    assert not table.copy.exists()


def test_a_folder_that_is_not_there(table: Table) -> None:
    done = table.take_in(table.download / "nosuch")
    assert done.code == 1
    assert "nosuch cannot be read: No such file or directory. Nothing was done." in done.stderr
