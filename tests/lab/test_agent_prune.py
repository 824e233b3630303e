"""Retention over real backups: what is left restores, and a full disk makes room for new ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loomio_backup import room
from loomio_backup.config import Retention, Watch

from .agent_disk import small_disk
from .agent_pair import Pair, pair
from .agent_site import Site, site
from .docker import docker

pytestmark = pytest.mark.lab

NEWEST = Retention(hourly=0, daily=0, weekly=0, monthly=0, yearly=0)


def _names(pi: Site, store: str) -> list[str]:
    """The backups in a store, oldest first."""
    listed: list[dict[str, Any]] = json.loads(pi.must("list", "--json", "--store", store))
    return [backup["name"] for backup in reversed(listed)]


def _keep(pi: Site, retention: Retention) -> None:
    stores = pi.config.stores
    local = stores.local and stores.local.model_copy(update={"retention": retention})
    drive = stores.drive and stores.drive.model_copy(update={"retention": retention})
    pi.write_config(
        pi.config.model_copy(update={"stores": stores.model_copy(update={"local": local, "drive": drive})})
    )


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Pair]:
    with site(tmp_path / "database", "agent-prune", local=Path("/nowhere")) as database:
        database.fill()
        with pair(tmp_path, database) as running:
            yield running


def test_what_is_left_is_whole_and_restores(made: Pair) -> None:
    """Five backups whose files come and go, so that packs and indexes are shared in every way."""
    pi = made.pi
    for number in range(4):
        (pi.uploads / f"file {number}").write_bytes(os.urandom(40_000))
        if number == 2:
            (pi.uploads / "file 0").unlink()
        pi.must("run")
    first, second, third, fourth = _names(pi, "local")
    pi.must("pin", second, "--reason", "the year's accounts")
    before = made.on_disk(), made.in_drive()
    _keep(pi, NEWEST)
    explained = pi.must("prune", "--dry-run")
    assert f"drive: keep         {second}: pinned" in explained
    assert (made.on_disk(), made.in_drive()) == before
    said = pi.must("prune")
    assert f"local: {first} removed" in said
    assert f"drive: {third} removed" in said
    assert _names(pi, "local") == _names(pi, "drive") == [second, fourth]
    pi.must("check", "--all", "--read-data")
    after = made.on_disk(), made.in_drive()
    pi.must("prune")
    assert (made.on_disk(), made.in_drive()) == after
    assert after[0] < before[0]
    # Even the file that was deleted since comes back, and the backups stay where they are meanwhile.
    pi.must("restore", "--backup", second, "--unattended", "--replace-live-data", "--store", "local")
    assert (pi.uploads / "file 0").stat().st_size == 40_000
    assert {second, fourth} <= set(_names(pi, "local"))


def test_a_full_disk_makes_room_for_new_backups_until_pins_are_in_the_way(tmp_path: Path) -> None:
    """A disk that holds some three backups: the oldest go, however much retention would keep."""
    with (
        small_disk(tmp_path / "disk", 1_170_000) as disk,
        site(tmp_path / "pi", "agent-prune2", local=disk) as pi,
    ):
        # Some 40 MB that cannot be compressed.
        pi.sql(
            "CREATE EXTENSION pgcrypto; CREATE TABLE noise (b bytea);"
            "INSERT INTO noise SELECT gen_random_bytes(1000) FROM generate_series(1, 40000)"
        )
        _keep(pi, Retention(days=3650))
        for _ in range(5):
            pi.must("run")
        kept = _names(pi, "local")
        assert 2 <= len(kept) < 5
        # Nothing goes for a backup that cannot be made.
        docker("stop", "-t", "5", pi.container)
        assert "no running container of the service db" in pi.run("run").err
        pi.restart_database()
        pi.sql("ALTER DATABASE loomio_production RENAME TO aside", "postgres")
        pi.sql("CREATE DATABASE loomio_production", "postgres")
        assert "the database loomio_production is empty" in pi.run("run").err
        pi.sql("DROP DATABASE loomio_production", "postgres")
        pi.sql("ALTER DATABASE aside RENAME TO loomio_production", "postgres")
        assert _names(pi, "local") == kept
        for name in kept:
            pi.must("pin", name)
        outcome = pi.run("run")
        assert outcome.code == 1
        assert (
            f"unpin what need not stay ({', '.join(reversed(kept))}): loomio-backup unpin NAME" in outcome.err
        )
        assert _names(pi, "local") == kept
        pi.must("unpin", kept[0])
        pi.must("run")
        assert _names(pi, "local")[:-1] == kept[1:]
        # What new files take shows only when they are packed: then, too, there is room to be made.
        for name in kept[1:]:
            pi.must("unpin", name)
        newest = _names(pi, "local")[-1]
        (pi.uploads / "film").write_bytes(os.urandom(45_000_000))
        assert pi.must("run").count("have to be freed for the next backup") == 2
        assert _names(pi, "local")[-2] == newest
        pi.must("check", "--all", "--read-data")


def test_a_disk_that_others_fill_gets_room_from_old_backups(tmp_path: Path) -> None:
    """Spool and local store share it, as on an SD card: below the floor no backup is begun, unless old ones
    can go; and what a killed run left in the spool is no reason either.
    """
    with (
        small_disk(tmp_path / "card", 1_800_000) as card,
        site(tmp_path / "pi", "agent-prune3", local=card / "backups") as pi,
    ):
        calm = Watch(collapse_percent=0)  # that the films go is no alarm here
        pi.write_config(pi.config.model_copy(update={"state_directory": card / "state", "watch": calm}))
        pi.fill()
        _keep(pi, Retention(days=3650))
        for number in range(10):
            (pi.uploads / f"film {number}").write_bytes(os.urandom(64_000_000))
        pi.must("run")
        for number in range(10):
            (pi.uploads / f"film {number}").unlink()
        pi.must("run")
        second = _names(pi, "local")[1]
        (card / "of others").write_bytes(bytes(700_000_000))
        (card / "state" / "spool" / f"{second}.dump.zst.age").write_bytes(bytes(50_000_000))
        assert room.free(card) < room.FLOOR
        pi.must("run")
        assert _names(pi, "local")[0] == second
        assert len(_names(pi, "local")) == 2
        assert room.free(card) > room.FLOOR
        pi.must("check", "--all", "--read-data")
