"""A backup costs what changed: what is there already does not travel, what was lost travels again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .agent_pair import Pair, kinds, pair
from .agent_site import Site, site

pytestmark = pytest.mark.lab

ONLY_THE_NEW = ["config", "dump", "manifest"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One database for all tests here, none of which changes it."""
    with site(tmp_path_factory.mktemp("database") / "pi", "agent-inc", local=Path("/nowhere")) as made:
        made.fill()
        yield made


@pytest.fixture
def made(tmp_path: Path, database: Site) -> Iterator[Pair]:
    with pair(tmp_path, database) as running:
        (running.pi.uploads / "more").write_bytes(os.urandom(100_000))
        running.pi.must("run")
        yield running


def _next(made: Pair) -> tuple[list[str], list[str]]:
    """One more backup; kinds of the objects that are new in the local store and in Drive."""
    before = made.on_disk(), made.in_drive()
    made.pi.must("run")
    return kinds(made.on_disk() - before[0]), kinds(made.in_drive() - before[1])


def _packs(names: set[str]) -> list[str]:
    return sorted(name for name in names if name.startswith("app-data_"))


def _restores(made: Pair, tmp_path: Path, store: str) -> None:
    """The newest backup comes back from this store alone, with all files."""
    with site(
        tmp_path / f"fresh-{store}",
        "agent-inc2",
        local=made.disk,
        drive=made.pi.config.stores.drive,
        drive_secret=(made.pi.root / "credentials" / "drive.json").read_text(),
        keys=made.pi,
    ) as fresh:
        fresh.must("restore", "--newest", "--store", store, "--unattended")
        assert fresh.files_text() == made.pi.files_text()


def test_only_what_changed_travels(made: Pair, tmp_path: Path) -> None:
    assert _next(made) == (ONLY_THE_NEW, ONLY_THE_NEW)
    assert made.on_disk() == made.in_drive()
    # Content counts: a file that was only touched is in a pack already, and its new time is in the index.
    (made.pi.uploads / "more").touch()
    assert _next(made) == (sorted([*ONLY_THE_NEW, "index"]),) * 2
    (made.pi.uploads / "new").write_bytes(os.urandom(5000))
    made.drive.clear_log()
    assert _next(made) == (sorted([*ONLY_THE_NEW, "index", "pack"]),) * 2
    pack = next(size for name, size in made.sent().items() if name.startswith("app-data_"))
    assert pack < 10_000
    _restores(made, tmp_path, "drive")


def test_a_pack_that_one_store_lost_comes_from_the_other(made: Pair, tmp_path: Path) -> None:
    [pack] = _packs(made.on_disk())
    (tmp_path / "disk" / pack).unlink()
    made.pi.must("run")
    assert _packs(made.on_disk()) == _packs(made.in_drive()) == [pack]
    made.remove_from_drive(pack)
    made.drive.clear_log()
    made.pi.must("run")
    assert _packs(made.on_disk()) == _packs(made.in_drive()) == [pack]
    assert pack in made.sent()
    for store in ("local", "drive"):
        made.pi.must("check", "--store", store)
    _restores(made, tmp_path, "local")


def test_what_both_stores_lost_travels_again(made: Pair, tmp_path: Path) -> None:
    [pack] = _packs(made.on_disk())
    (tmp_path / "disk" / pack).unlink()
    made.remove_from_drive(pack)
    made.pi.must("run")
    [again] = _packs(made.on_disk())
    assert again != pack
    assert _packs(made.in_drive()) == [again]
    _restores(made, tmp_path, "drive")


def test_a_pack_that_is_damaged_is_not_relied_on(made: Pair, tmp_path: Path) -> None:
    """Its size tells, or the attempt to copy it."""
    [pack] = _packs(made.on_disk())
    path = tmp_path / "disk" / pack
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    made.pi.must("run")
    whole = [name for name in _packs(made.on_disk()) if name != pack]
    assert len(whole) == 1
    assert set(whole) <= made.in_drive()
    _restores(made, tmp_path, "local")
    # Of the same size, and nobody looks: until Drive lost its copy, and gets it from here.
    [second] = whole
    path = tmp_path / "disk" / second
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    made.remove_from_drive(second)
    said = made.fails("run")
    assert "safe in local" in said
    assert f"{second} is needed, and no other store holds it whole" in said
    made.pi.must("run")
    _restores(made, tmp_path, "drive")


def test_a_new_disk_is_filled_from_drive(made: Pair, tmp_path: Path) -> None:
    (made.pi.uploads / "new").write_bytes(os.urandom(5000))
    made.pi.must("run")
    there = made.on_disk()
    for path in (tmp_path / "disk").iterdir():
        path.unlink()
    made.drive.clear_log()
    output = made.pi.must("run")
    # Drive lacks little, so the backup is safe there before the disk is filled.
    complete = re.findall(r"^(\w+): \S+ is complete$", output, re.MULTILINE)
    assert complete == ["drive", "local"]
    assert not [name for name in made.sent() if name.startswith("app-data")]
    assert made.on_disk() > there
    assert made.on_disk() == made.in_drive()
    _restores(made, tmp_path, "local")


def test_a_lost_catalogue_costs_no_second_journey(made: Pair, tmp_path: Path) -> None:
    for path in (made.pi.root / "state").glob("catalogue.*"):
        path.unlink()
    output = made.pi.must("run")
    assert "files of the last backup are known by their content" in output
    packs = _packs(made.on_disk())
    assert len(packs) == 1
    assert _packs(made.in_drive()) == packs
    assert _next(made) == (ONLY_THE_NEW, ONLY_THE_NEW)


def test_a_restored_pi_goes_on_where_the_old_one_ended(made: Pair, tmp_path: Path) -> None:
    with site(
        tmp_path / "fresh",
        "agent-inc3",
        drive=made.pi.config.stores.drive,
        drive_secret=(made.pi.root / "credentials" / "drive.json").read_text(),
        keys=made.pi,
    ) as fresh:
        fresh.must("restore", "--newest", "--unattended")
        before = made.in_drive()
        fresh.must("run")
        # Its mounts' roots have times of their own, so the index differs; no file travels.
        assert kinds(made.in_drive() - before) == sorted([*ONLY_THE_NEW, "index"])


def test_a_list_that_lags_behind_costs_nothing(made: Pair) -> None:
    made.drive.fault("hide", times=None, seconds=3600)
    (made.pi.uploads / "new").write_bytes(os.urandom(5000))
    made.pi.must("run")
    hidden = made.backups()[0]["name"]
    made.drive.clear_log()
    made.pi.must("run")
    # Neither the backup nor its pack are in the list, and neither is lost.
    assert {backup["name"]: backup["stores"] for backup in made.backups()}[hidden] == ["local", "drive"]
    assert not [name for name in made.sent() if name.startswith("app-data")]
    assert len(_packs(made.in_drive())) == 2
    made.pi.must("check", "--store", "drive")


def test_a_manifest_that_somebody_removed_is_missed(tmp_path: Path, database: Site) -> None:
    with pair(tmp_path, database, local=False) as made:
        made.pi.must("run")
        made.pi.must("run")
        newest, first = made.backups()
        made.remove_from_drive(first["name"] + ".manifest.age")
        output = made.pi.must("run")
        assert f"{first['name']}.manifest.age was stored there, and is gone without this program" in output
        listed = made.pi.run("list", "--json")
        assert (listed.code, first["name"] in listed.err) == (1, True)
        assert [backup["name"] for backup in json.loads(listed.out)][1:] == [newest["name"]]
