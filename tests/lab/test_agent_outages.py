"""Stores that are away, full, slow or not due: the others go on, and what was missed is caught up with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import Retention

from .agent_pair import Pair, kinds, pair
from .agent_site import Site, site
from .docker import wait_until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One database for all tests here, none of which changes it."""
    with site(tmp_path_factory.mktemp("database") / "pi", "agent-out", local=Path("/nowhere")) as made:
        made.fill()
        yield made


@pytest.fixture
def made(tmp_path: Path, database: Site) -> Iterator[Pair]:
    with pair(tmp_path, database) as running:
        yield running


def _change_drive(made: Pair, **settings: object) -> None:
    stores = made.pi.config.stores
    assert stores.drive is not None
    drive = stores.drive.model_copy(update=settings)
    made.pi.write_config(
        made.pi.config.model_copy(update={"stores": stores.model_copy(update={"drive": drive})})
    )


def _stores(made: Pair) -> list[list[str]]:
    """The stores of each backup, oldest first."""
    return [backup["stores"] for backup in reversed(made.backups())]


def _in_drive(made: Pair) -> list[int]:
    """The sequence numbers of the backups in Drive."""
    return sorted(backup["sequence"] for backup in made.backups("--store", "drive"))


def test_after_an_outage_drive_gets_what_retention_would_keep(made: Pair) -> None:
    made.pi.must("run")
    made.cut_off()
    for number in range(3):
        (made.pi.uploads / f"during {number}").write_bytes(os.urandom(5000))
        said = made.fails("run")
        assert "complete and safe in local, but something is left to do. drive: " in said
    made.drive.clear_faults()
    # Of the three that it missed, it would keep none: they are of the same hour, and the next is newer.
    _change_drive(made, retention=Retention(hourly=1, daily=0, weekly=0, monthly=0, yearly=0))
    made.pi.must("run")
    assert _in_drive(made) in ([1, 5], [5])
    assert kinds(made.in_drive()).count("manifest") == len(_in_drive(made))
    # Asked to keep all of the last day, it gets the rest, the newest first.
    _change_drive(made, retention=Retention(days=1))
    output = made.pi.must("run")
    assert output.index(_name(made, 4)) < output.index(_name(made, 3)) < output.index(_name(made, 2))
    assert set(_in_drive(made)) >= {2, 3, 4, 5, 6}
    made.pi.must("check", "--store", "drive")


def _name(made: Pair, sequence: int) -> str:
    [name] = [b["name"] for b in made.backups("--store", "local") if b["sequence"] == sequence]
    return f"drive: gets {name}"


def test_a_backup_that_lost_an_object_is_not_begun_to_be_copied(made: Pair) -> None:
    assert made.disk is not None
    made.pi.must("run")
    made.cut_off()
    passing, before = made.pi.uploads / "passing", made.on_disk()
    passing.write_bytes(os.urandom(5000))
    made.fails("run")
    [pack] = [name for name in made.on_disk() - before if name.startswith("app-data_")]
    passing.unlink()
    (made.disk / pack).unlink()
    made.drive.clear_faults()
    made.drive.clear_log()
    broken = made.backups("--store", "local")[0]["name"]
    output = made.pi.must("run")
    assert f"drive: {broken} was passed over: no store holds {pack}, which it needs" in output
    assert not [name for name in made.sent() if name.startswith(broken)]


def test_what_was_removed_on_purpose_does_not_come_again(made: Pair) -> None:
    made.pi.must("run")
    made.pi.must("run")
    _change_drive(made, retention=Retention(hourly=1, daily=0, weekly=0, monthly=0, yearly=0))
    made.pi.must("prune", "--store", "drive")
    assert _in_drive(made) == [2]
    _change_drive(made, retention=Retention(days=1))
    made.pi.must("run")
    assert _in_drive(made) == [2, 3]


def test_an_interrupted_upload_goes_on_where_it_stopped(tmp_path: Path, database: Site) -> None:
    with pair(tmp_path, database, local=False, upload_limit_bytes=4_000_000) as made:
        (made.pi.uploads / "large").write_bytes(os.urandom(30_000_000))
        agent = made.pi.start_agent("run")
        wait_until(lambda: _pack_bytes(made) > 12_000_000, "some of the pack in Drive", every=0.05)
        agent.send_signal(signal.SIGKILL)
        agent.communicate()
        before = _pack_bytes(made)
        assert before < 30_000_000
        made.drive.clear_log()
        _change_drive(made, upload_limit_bytes=None)
        made.pi.must("run")
        # At most the chunk that was on its way is sent again.
        assert before + _pack_bytes(made) < 30_000_000 + 5_000_000
        assert kinds(made.in_drive()) == ["config", "dump", "index", "manifest", "pack", "page"]
        made.pi.must("check", "--store", "drive")


def _pack_bytes(made: Pair) -> int:
    return sum(size for name, size in made.sent().items() if name.startswith("app-data_"))


def test_the_first_backup_into_drive_alone_begins_with_the_database(tmp_path: Path, database: Site) -> None:
    with pair(tmp_path, database, local=False) as made:
        made.pi.must("run")
        order = [name for name in made.sent() if not name.startswith("RECOVERY")]
        assert order[0].endswith(".dump.zst.age")
        assert order[-1].endswith(".manifest.age")
        made.drive.clear_log()
        (made.pi.uploads / "new").write_bytes(b"new")
        made.pi.must("run")
        assert next(iter(made.sent())).startswith("app-data_")


def test_a_killed_copy_is_taken_up_or_taken_away(made: Pair) -> None:
    """The backup is safe in the local store; Drive has a part of it when the Pi loses its power."""
    _change_drive(made, retention=Retention(hourly=1, daily=0, weekly=0, monthly=0, yearly=0))
    made.drive.fault("latency", seconds=30, match={"name": "*.config.tar.zst.age"})
    agent = made.pi.start_agent("run")
    wait_until(lambda: kinds(made.in_drive()) == ["dump"], "the dump in Drive", every=0.05)
    agent.send_signal(signal.SIGKILL)
    agent.communicate()
    made.drive.clear_faults()
    made.pi.must("run")
    # Retention asks for one backup an hour, the new one: nothing of the other stays (except shared packs).
    if _in_drive(made) == [2]:
        assert kinds(made.in_drive()) == ["config", "dump", "index", "manifest", "pack", "page"]
    assert _stores(made)[-1] == ["local", "drive"]


def test_drive_may_be_rarer(made: Pair) -> None:
    _change_drive(made, schedule="0 3 1 1 *")
    made.pi.must("run")
    made.pi.must("run")
    assert _stores(made) == [["local", "drive"], ["local"]]
    # By hand, for a reason, it goes everywhere; and what is pinned there stays.
    made.pi.must("run", "--label", "before-update", "--pin")
    newest = made.backups()[0]
    assert (newest["label"], newest["stores"]) == ("before-update", ["local", "drive"])
    assert f"{newest['name']}.pin.age" in made.on_disk() & made.in_drive()
    # Without another store that works, Drive takes part out of turn.
    assert made.disk is not None
    made.disk.rename(made.disk.with_name("aside"))
    made.disk.write_text("a file where the store should be")
    said = made.fails("run")
    assert "complete and safe in drive" in said
    assert "cannot be used" in said


@pytest.mark.parametrize("label", ["", "Before", "a b", "-x", "x" * 41])
def test_a_label_that_is_none_is_wrong_usage(tmp_path: Path, label: str) -> None:
    pi = Site(tmp_path / "pi", "agent-label", local=tmp_path / "disk")
    outcome = pi.run("run", f"--label={label}")
    assert outcome.code == 2
    assert "is no label" in outcome.err


def test_an_unmounted_volume_is_no_empty_one(made: Pair) -> None:
    made.pi.must("run")
    before = made.on_disk(), made.in_drive()
    aside = made.pi.root / "aside"
    made.pi.uploads.rename(aside)
    made.pi.uploads.mkdir()
    said = made.fails("run")
    assert "no files at all in uploads" in said
    assert "All earlier backups are untouched" in said
    assert made.on_disk() >= before[0]
    made.pi.uploads.rmdir()
    aside.rename(made.pi.uploads)
    made.pi.must("run")
    # Nothing of the failed attempt is left.
    assert (
        kinds(made.on_disk() - before[0])
        == kinds(made.in_drive() - before[1])
        == ["config", "dump", "manifest"]
    )


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_a_copy_that_is_interrupted_goes_on_with_the_next_backup(
    tmp_path: Path, database: Site, signal_: signal.Signals
) -> None:
    with pair(tmp_path, database, upload_limit_bytes=4_000_000) as made:
        (made.pi.uploads / "large").write_bytes(os.urandom(30_000_000))
        agent = made.pi.start_agent("run")
        wait_until(lambda: _pack_bytes(made) > 8_000_000, "some of the pack in Drive", every=0.05)
        agent.send_signal(signal_)
        agent.communicate(timeout=30)
        before = _pack_bytes(made)
        assert before < 30_000_000
        assert [backup["stores"] for backup in made.backups()] == [["local"]]
        made.drive.clear_log()
        _change_drive(made, upload_limit_bytes=None)
        output = made.pi.must("run")
        assert before + _pack_bytes(made) < 30_000_000 + 5_000_000
        # The one that was interrupted is there as well, and nothing twice.
        assert "which it missed (1 of 1)" in output
        assert made.in_drive() == made.on_disk()
        assert _stores(made) == [["local", "drive"], ["local", "drive"]]
