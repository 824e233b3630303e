"""A store that was damaged: check finds it, the next backup does not rely on it, and that one restores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .agent_site import Site, site
from .test_agent_faults import _fails

pytestmark = pytest.mark.lab


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


def _needs(pi: Site, backup: str) -> dict[str, str]:
    """The objects of a backup by kind, where there is one of a kind."""
    objects = json.loads(pi.must("show", backup, "--json"))["objects"]
    return {entry["kind"]: entry["name"] for entry in objects}


def test_what_is_found_damaged_is_not_relied_on(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with site(tmp_path / "pi", "agent-heal", local=disk) as pi:
        pi.fill()
        pi.must("run")
        pi.must("run")
        second, first = (backup["name"] for backup in json.loads(pi.must("list", "--json")))
        shared = _needs(pi, second)
        assert {shared[kind] for kind in ("pack", "index")} <= set(_needs(pi, first).values())
        for kind in ("pack", "index"):
            _flip(disk / shared[kind])
        # A folder cannot tell without reading; a run that was not warned relies on what it holds.
        pi.must("run")
        newest = json.loads(pi.must("list", "--json"))[0]["name"]
        assert _needs(pi, newest)["pack"] == shared["pack"]

        said = pi.run("check", "--read-data")
        assert said.code == 1
        for kind in ("pack", "index"):
            assert f"{shared[kind]}, needed by {newest}, {second}, {first}" in said.out
        assert "0 of the 3 backups in local are whole" in said.err
        assert "no backup could be restored" in _fails(
            pi, "restore", "--newest", "--unattended", "--replace-live-data"
        )
        pi.must("run")
        healed = json.loads(pi.must("list", "--json"))[0]["name"]
        assert not set(shared.values()) & set(_needs(pi, healed).values())
        # The one that the restore made of what is live is whole as well.
        assert "2 of the 5 backups in local are whole" in _fails(pi, "check", "--read-data")
        wanted = pi.database_text(), pi.files_text()
        pi.must("restore", "--newest", "--unattended", "--replace-live-data")
        assert (pi.database_text(), pi.files_text()) == wanted
