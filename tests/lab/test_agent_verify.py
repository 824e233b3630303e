"""Drills on real parts: a real PostgreSQL, Drive's emulator, the stand-in for the app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .agent_pair import Pair
from .docker import docker
from .drill_site import drill_pair, left_behind

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One Pi for what leaves its backups as they are."""
    with drill_pair(tmp_path_factory.mktemp("drill"), "agent-drill", app=False) as made:
        made.pi.must("run")
        yield made


def verified(pair: Pair, *arguments: str) -> dict[str, Any]:
    """A drill that has to pass; what it found."""
    outcome = pair.pi.run("verify", "--json", *arguments)
    assert outcome.code == 0, outcome
    found: dict[str, Any] = json.loads(outcome.out)
    assert (found["ok"], found["problems"], found["drill"]["passed"]) == (True, [], True)
    assert left_behind(pair.pi) == []
    return found


def _everything() -> list[str]:
    return [
        *docker("ps", "-aq").split(),
        *docker("volume", "ls", "-q").split(),
        *docker("network", "ls", "-q").split(),
    ]


def test_a_good_backup_comes_back_from_drive_with_the_app(tmp_path: Path) -> None:
    with drill_pair(tmp_path, "agent-drill-app") as pair:
        pair.pi.must("run")
        # The local copy is no help: nothing of it is whole.
        assert pair.disk is not None
        for path in pair.disk.glob("*"):
            if not path.name.endswith(".manifest.age"):
                path.write_bytes(b"damaged")
        found = verified(pair)
        drill = found["drill"]
        print(json.dumps(drill, indent=1))
        assert (found["store"], drill["scope"], drill["app"]) == ("drive", "whole", "answered")
        assert drill["users"] == 20
        assert drill["latest_activity"].startswith("2026-11-20T12:34:56")
        assert (drill["attachments"], drill["attachments_missing"]) == (4, 1)
        assert drill["objects_fetched"] == 4
        assert set(drill["phases"]) >= {"fetch", "database", "files", "app"}
        status = json.loads(pair.pi.run("status", "--json").out)
        stores = {store["store"]: store for store in status["stores"]}
        assert stores["drive"]["verified"] == drill["backup"]
        assert stores["local"]["verified"] is None
