"""Drills on real parts: a real PostgreSQL, Drive's emulator, the stand-in for the app."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.drill import drills
from loomio_backup.drill.drills import Drill
from loomio_backup.state import StateDirectory

from .agent_pair import Pair
from .docker import LabError, docker, wait_until
from .drill_site import (
    ENV,
    LABEL,
    OUTWARD,
    attach,
    drill_pair,
    folder,
    forge,
    left_behind,
    manifest_of,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One Pi for all that need no app. Forged backups stay in its Drive; each is newer than those before."""
    with drill_pair(tmp_path_factory.mktemp("drill"), "agent-drill", app=False) as made:
        made.pi.must("run")
        yield made


@pytest.fixture(scope="module")
def good(pair: Pair) -> str:
    """The name of its good backup."""
    return str(pair.backups()[-1]["name"])


def verified(pair: Pair, *arguments: str) -> dict[str, Any]:
    """A drill that has to pass; what it found."""
    outcome = pair.pi.run("verify", "--json", *arguments)
    assert outcome.code == 0, outcome
    found: dict[str, Any] = json.loads(outcome.out)
    assert (found["ok"], found["problems"], found["drill"]["passed"]) == (True, [], True)
    assert left_behind(pair.pi) == []
    return found


def failed(pair: Pair, *arguments: str) -> tuple[dict[str, Any], str]:
    """One that has to fail; what it found, and its one sentence."""
    outcome = pair.pi.run("verify", "--json", *arguments)
    assert outcome.code == 1, outcome
    found: dict[str, Any] = json.loads(outcome.out)
    assert not found["ok"]
    assert left_behind(pair.pi) == []
    [sentence] = [line for line in outcome.err.splitlines() if line.startswith("loomio-backup: ")]
    return found, sentence


def in_drill(pair: Pair, name: str) -> str | None:
    """The container of the drill that is known by this name there."""
    for id_ in docker("ps", "-q", "--filter", f"label={LABEL}={pair.pi.project}").split():
        try:
            networks = json.loads(docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", id_))
        except LabError:  # gone meanwhile
            continue
        if any(name in (network["Aliases"] or []) for network in networks.values()):
            return id_
    return None


def can(container: str, script: str) -> bool:
    """Whether something works inside a container."""
    command = ["docker", "exec", container, "bash", "-c", script]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def address(container: str) -> str:
    return docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", container)


def test_a_good_backup_comes_back_from_drive_with_the_app(tmp_path: Path) -> None:
    with drill_pair(tmp_path, "agent-drill-app") as pair:
        pair.pi.must("run")
        # The local copy is no help: nothing of it is whole.
        assert pair.disk is not None
        for path in pair.disk.glob("*"):
            if not path.name.endswith(".manifest.age"):
                path.write_bytes(b"damaged")
        running = pair.pi.start_agent("verify")
        app = wait_until(lambda: in_drill(pair, "app"), "the app of the drill", 120)
        given = json.loads(docker("inspect", "-f", "{{json .Config.Env}}", app))
        output = running.communicate()[0]
        assert running.returncode == 0, output
        assert f"DEVISE_SECRET={ENV['DEVISE_SECRET']}" in given
        assert not [value for value in OUTWARD.values() if value in json.dumps(given)]
        assert not [line for line in given if line.startswith(("SMTP", "OAUTH", "POSTGRES_PASSWORD"))]
        assert left_behind(pair.pi) == []

        status = json.loads(pair.pi.run("status", "--json").out)
        stores = {store["store"]: store for store in status["stores"]}
        [newest] = pair.backups()
        assert stores["drive"]["verified"] == newest["name"]
        assert stores["local"]["verified"] is None
        assert "measured by the drill of" in status["outlook"]["text"]

        # A backup whose own `.env` does not start the app is no good, whatever lies on this Pi.
        text = pair.pi.env.read_text()
        pair.pi.env.write_text(text.replace("DEVISE_SECRET=", "#DEVISE_SECRET="))
        pair.pi.must("run")
        pair.pi.env.write_text(text)
        found, sentence = failed(pair, "--sample")
        assert "cannot start: DEVISE_SECRET not set" in sentence
        assert ENV["SECRET_COOKIE_TOKEN"] not in json.dumps(found)


def test_what_a_drill_finds(pair: Pair, good: str) -> None:
    found = verified(pair, "--backup", good)
    drill = found["drill"]
    assert (found["store"], drill["backup"], drill["scope"]) == ("drive", good, "whole")
    assert drill["app"].startswith("skipped: the settings say so")
    assert (drill["tables"], drill["rows"]) == (
        len(manifest_of(pair, good).database.tables),
        manifest_of(pair, good).database.rows,
    )
    assert drill["users"] == 20
    assert drill["latest_activity"].startswith("2026-11-20T12:34:56")
    assert (drill["attachments"], drill["attachments_missing"]) == (4, 1)
    assert (drill["files"], drill["bytes"]) == (
        manifest_of(pair, good).app_data.files,
        manifest_of(pair, good).app_data.bytes,
    )
    assert drill["objects_fetched"] == 4
    assert set(drill["phases"]) >= {"fetch", "database", "files"}


def drills_of(pair: Pair) -> list[Drill]:
    with Catalogue(StateDirectory(pair.pi.config.state_directory).catalogue) as catalogue:
        return drills.load(catalogue)


def test_what_keeps_a_drill_from_its_end_proves_nothing(pair: Pair, good: str) -> None:
    pi, before = pair.pi, drills_of(pair)
    assert before[0].proves
    pair.cut_off()
    assert "Drive" in pair.fails("verify")
    pair.drive.clear_faults()
    with StateDirectory(pi.config.state_directory).locked("a restore"):
        assert "a restore or an update is going on" in pair.fails("verify")
    assert "there is no backup loomio_backup_1" in pair.fails("verify", "--backup", "loomio_backup_1")
    assert drills_of(pair) == before
    assert last_verify(pair) == "failed"
    assert left_behind(pi) == []


def test_with_an_offline_key_the_store_is_looked_at_and_no_more(pair: Pair) -> None:
    pi, before = pair.pi, drills_of(pair)
    identity = pi.root / "credentials" / "identity"
    identity.rename(pi.root / "lent")
    try:
        outcome = pi.run("verify", "--json")
    finally:
        (pi.root / "lent").rename(identity)
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out)
    assert (found["ok"], found["drill"]) == (True, None)
    assert "loomio-pi deploy verify" in found["note"]
    assert drills_of(pair) == before


def test_nothing_leads_out_and_a_killed_drill_is_cleared_up_by_the_next(pair: Pair, good: str) -> None:
    pi = pair.pi
    live = pi.database_text()
    first = pi.start_agent("verify", "--sample", "--backup", good)
    copy = wait_until(lambda: in_drill(pair, "db"), "the copy", 120)
    # Halted in the middle, so that there is time to look around.
    first.send_signal(signal.SIGSTOP)
    there, host = address(pi.container), docker("network", "inspect", "-f", _GATEWAY, "bridge")
    for target in (f"{there}/5432", f"{host}/1", "1.1.1.1/53"):
        assert refusal(copy, target) == "nobody there", target
    # Which proves something, because an ordinary container finds the first two.
    assert refusal(pi.container, f"{there}/5432") is None
    assert refusal(pi.container, f"{host}/1") == "refused"
    assert not can(copy, "getent hosts example.org")
    assert "POSTGRES_PASSWORD=" not in docker("inspect", "-f", "{{json .Config.Env}}", copy)

    second = pi.run("verify")
    assert second.code == 1
    assert "another verify is running" in second.err
    assert last_verify(pair) == "running"
    # A backup neither waits nor takes the drill's helper for a leftover of its own.
    there_before, volumes = left_behind(pi), volumes_of_drills(pair)
    assert volumes
    pi.must("run")
    assert left_behind(pi) == there_before
    first.kill()
    first.communicate()
    assert left_behind(pi) != []
    assert last_verify(pair) == "killed"
    assert verified(pair, "--sample", "--backup", good)["drill"]["scope"] == "sample"
    assert last_verify(pair) == "complete"
    assert not volumes & set(docker("volume", "ls", "-q").split())
    assert pi.database_text() == live


def volumes_of_drills(pair: Pair) -> set[str]:
    """Names of all volumes that containers of the drill have, also of those that carry no label."""
    ids = docker("ps", "-aq", "--filter", f"label={LABEL}={pair.pi.project}").split()
    mounts = [mount for one in json.loads(docker("inspect", *ids)) for mount in one["Mounts"]]
    return {mount["Name"] for mount in mounts if mount["Type"] == "volume"}


def last_verify(pair: Pair) -> str:
    """How the last drill ended, as status says."""
    status = json.loads(pair.pi.run("status", "--json").out)
    return {one["verb"]: str(one["outcome"]) for one in status["runs"]}["verify"]


def refusal(container: str, target: str) -> str | None:
    """What becomes of a connection from inside a container; None: it is there."""
    connect = f"timeout 5 bash -c 'echo > /dev/tcp/{target}'"
    done = subprocess.run(
        ["docker", "exec", container, "bash", "-c", connect], capture_output=True, text=True
    )
    if done.returncode == 0:
        return None
    return "refused" if "refused" in done.stderr else "nobody there"


_GATEWAY = "{{(index .IPAM.Config 0).Gateway}}"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DELETE FROM users WHERE id = 20", "public.users has 19 rows instead of 20"),
        ("DROP TABLE translations", "public.translations has None rows instead of 0"),
    ],
)
def test_a_dump_that_lacks_something_is_noticed(pair: Pair, good: str, change: str, named: str) -> None:
    pi = pair.pi
    saved = docker("exec", pi.container, "pg_dump", "-U", "loomio", "-t", "users", "-t", "translations", _DB)
    pi.sql(change)
    pi.must("run")
    lacking = _newest_own(pair)
    pi.sql("DROP TABLE IF EXISTS users, translations CASCADE")
    pi.sql(saved)
    whole = manifest_of(pair, good)
    dump = manifest_of(pair, lacking).only("database")
    objects = [entry for entry in whole.objects if entry.kind != "database"]
    name = forge(pair, good, objects=[*objects, dump])
    found, sentence = failed(pair)
    assert found["drill"]["backup"] == name
    assert named in sentence


_DB = "loomio_production"


def _newest_own(pair: Pair) -> str:
    """The newest backup that the Pi made itself: in the local store there is no forged one."""
    return str(json.loads(pair.pi.must("list", "--json", "--store", "local"))[0]["name"])


def test_an_attachment_without_its_file_is_noticed(pair: Pair, good: str) -> None:
    assert manifest_of(pair, good).attachments_missing == ["attachment000000000000000004"]
    forge(pair, good, attachments_missing=[])
    found, sentence = failed(pair, "--sample")
    assert "an attachment (attachment000000000000000004)" in sentence
    assert found["drill"]["attachments_missing"] == 1


def test_a_missing_object_is_noticed_without_a_restore(pair: Pair, good: str) -> None:
    pi = pair.pi
    attach(pi, 5, b"in a pack of its own")
    pi.must("run")
    own = manifest_of(pair, _newest_own(pair))
    name = forge(pair, own.name)
    [lost] = own.packs().keys() - manifest_of(pair, good).packs().keys()
    pair.remove_from_drive(lost)
    found, sentence = failed(pair)
    assert f"{lost}, which {name} needs, is missing" in sentence
    assert found["drill"]["passed"] is False
    assert found["drill"]["phases"] == {}


def test_yesterdays_backup_is_not_taken_for_todays(tmp_path: Path) -> None:
    with drill_pair(tmp_path, "agent-drill-old", app=False) as pair:
        pair.pi.must("run")
        pair.pi.must("run")
        newest, before = pair.backups()
        # The newest manifest is gone.
        name = newest["name"] + ".manifest.age"
        stored = folder(pair).stat(name)
        assert stored is not None
        kept = tmp_path / "kept"
        folder(pair).get(stored, kept)
        pair.remove_from_drive(name)
        found, sentence = failed(pair, "--sample")
        assert f"{name} is gone, and this Pi did not remove it" in sentence
        # What is there does come back, and says so.
        assert (found["drill"]["backup"], found["drill"]["passed"]) == (before["name"], True)
        # In its place lies the one before.
        old = folder(pair).stat(before["name"] + ".manifest.age")
        assert old is not None
        copy = tmp_path / "copy"
        folder(pair).get(old, copy)
        folder(pair).put(name, copy, as_it_is(copy))
        found, sentence = failed(pair, "--sample")
        assert f"{name} cannot be used" in sentence
        assert f"the manifest of another backup, {before['name']}" in sentence
