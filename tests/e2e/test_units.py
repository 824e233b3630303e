"""The units on a Pi that has been recovered: they take turns, tell what goes wrong, catch up after a power
cut, and do their work without any key that opens backups.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import yaml

from deploys.steps.paths import (
    BACKUP_SERVICE,
    LENT_IDENTITY,
    LENT_TO_DRILL,
    LENT_TO_SAMPLE,
    PRUNE_SERVICE,
    SAMPLE_SERVICE,
    TIMERS,
    WATCH_SERVICE,
)
from tests.lab.cloud import ALERTS_URL, PING_URL
from tests.lab.docker import docker, wait_until
from tests.lab.drill.judge import web_status
from tests.lab.drill.operator import HOST
from tests.lab.pi import Pi

from .conftest import Drill, secret_values

pytestmark = [pytest.mark.lab, pytest.mark.drill]
LABELLED = "loomio-backup@taking-turns.service"
RUNS = """
import json, sqlite3
rows = sqlite3.connect("/var/lib/loomio-backup/catalogue.sqlite").execute(
    "SELECT verb, started_at, finished_at, outcome FROM runs ORDER BY started_at")
print(json.dumps(rows.fetchall()))
"""


def runs(pi: Pi) -> list[list[str]]:
    """Verb, start, end and outcome of every run on this Pi."""
    found: list[list[str]] = json.loads(pi.run("python3", "-c", RUNS))
    return found


def result(pi: Pi, unit: str) -> str:
    return pi.run("systemctl", "show", "--property=Result", "--value", unit)


def ended(pi: Pi, unit: str) -> bool:
    return pi.run("systemctl", "show", "--property=ActiveState", "--value", unit) in ("inactive", "failed")


def told(drill: Drill, address: str) -> list[dict[str, Any]]:
    """What the cloud's sink got at an address that begins like this."""
    path = "/" + address.rpartition("/")[2]
    hooks = drill.rehearsal.lab.cloud.kept("hooks")
    return [hook for hook in hooks if hook["path"].startswith(path)]


def journal(pi: Pi, unit: str) -> str:
    return pi.run("journalctl", "--no-pager", "-o", "cat", "-n", "40", "-u", unit)


def test_the_watch_finds_all_well_and_says_so_to_the_dead_mans_switch(bookworm: Drill) -> None:
    pi = bookworm.rehearsal.pi
    for timer in TIMERS:
        assert pi.run("systemctl", "is-enabled", timer) == "enabled"
        assert pi.run("systemctl", "is-active", timer) == "active"
    before = len(told(bookworm, PING_URL))
    assert pi.succeeds("systemctl", "start", WATCH_SERVICE), journal(pi, WATCH_SERVICE)
    # All is well: what is not, is told at another address.
    assert len(told(bookworm, PING_URL)) == before + 1
    address = secret_values(bookworm.rehearsal.operator)["alerts.ping_url"]
    assert told(bookworm, PING_URL)[-1]["path"] == "/" + address.rpartition("/")[2]


DRILLS = """
import sqlite3
print(sqlite3.connect("/var/lib/loomio-backup/catalogue.sqlite").execute(
    "SELECT report FROM drills ORDER BY finished_at DESC").fetchone()[0])
"""


def test_a_drill_in_its_unit_restores_from_drive_with_the_app(bookworm: Drill) -> None:
    pi = bookworm.rehearsal.pi
    before = pi.run("docker", "ps", "-aq")
    assert pi.succeeds("systemctl", "start", SAMPLE_SERVICE), journal(pi, SAMPLE_SERVICE)
    found = json.loads(pi.run("python3", "-c", DRILLS))
    assert (found["store"], found["scope"], found["passed"]) == ("drive", "sample", True)
    assert found["app"] == "answered", journal(pi, SAMPLE_SERVICE)
    assert found["rows"] > 100
    assert found["attachments"] > 0
    assert pi.run("docker", "ps", "-aq") == before
    label = "label=org.loomio-pi-stack.drill"
    assert pi.run("docker", "network", "ls", "-q", "--filter", label) == ""
    assert pi.run("docker", "volume", "ls", "-q", "--filter", label) == ""


def test_backups_and_pruning_take_turns(bookworm: Drill) -> None:
    pi = bookworm.rehearsal.pi
    before = len(runs(pi))
    units = (BACKUP_SERVICE, LABELLED, PRUNE_SERVICE)
    pi.run("systemctl", "start", "--no-block", *units)
    wait_until(
        lambda: len(runs(pi)) >= before + 3 and all(ended(pi, unit) for unit in units), "all three", 180
    )
    assert {unit: result(pi, unit) for unit in units} == dict.fromkeys(units, "success")
    three = runs(pi)[before:]
    assert sorted(verb for verb, *_ in three) == ["prune", "run", "run"]
    assert {outcome for *_, outcome in three} == {"complete"}
    for (_, _, first_end, _), (_, second_start, _, _) in pairwise(three):
        assert first_end <= second_start
    waited = "".join(journal(pi, unit) for unit in units)
    assert "waits until another one has finished" in waited
    newest = json.loads(pi.run("loomio-backup", "list", "--json"))
    [labelled] = {one["name"]: one for one in newest if one["label"] == "taking-turns"}.values()
    shown = json.loads(pi.run("loomio-backup", "show", labelled["name"], "--json"))
    assert {name: store["pinned"] for name, store in shown["stores"].items()} == {
        "local": True,
        "drive": True,
    }


def test_a_failed_backup_is_told_at_once_and_its_end_as_well(bookworm: Drill) -> None:
    pi = bookworm.rehearsal.pi
    before = len(told(bookworm, ALERTS_URL))
    database = pi.database_container()
    pi.run("docker", "stop", database)
    try:
        assert not pi.succeeds("systemctl", "start", BACKUP_SERVICE)
        wait_until(lambda: len(told(bookworm, ALERTS_URL)) > before, "the alert", 60)
    finally:
        pi.run("docker", "start", database)
    alert = json.loads(told(bookworm, ALERTS_URL)[-1]["body"])
    assert "no running container of the service db" in alert["message"]
    wait_until(
        lambda: "healthy" in pi.run("docker", "ps", "--filter", f"name={database}"), "the database", 120
    )
    before = len(told(bookworm, ALERTS_URL))
    assert pi.succeeds("systemctl", "start", BACKUP_SERVICE), journal(pi, BACKUP_SERVICE)
    wait_until(lambda: len(told(bookworm, ALERTS_URL)) > before, "the notice that it is over", 60)
    assert "over" in json.loads(told(bookworm, ALERTS_URL)[-1]["body"])["title"].lower()


def test_a_run_that_a_power_cut_prevented_is_made_up_for_by_the_real_agent(bookworm: Drill) -> None:
    """At a moment when Docker has only just started, and the database is not up yet."""
    pi = bookworm.rehearsal.pi
    before = len(runs(pi))
    pi.run("touch", "-d", "2 days ago", f"/var/lib/systemd/timers/stamp-{TIMERS[0]}")
    docker("kill", pi.name)
    docker("start", pi.name)
    wait_until(lambda: pi.succeeds("systemctl", "is-active", "-q", "timers.target"), "the Pi is up", 120)
    # The settings have a delay of up to a minute.
    wait_until(
        lambda: len(runs(pi)) > before and ended(pi, BACKUP_SERVICE), "the run that was missed", 240, every=2
    )
    assert result(pi, BACKUP_SERVICE) == "success", journal(pi, BACKUP_SERVICE)
    assert runs(pi)[before][3] == "complete"


def test_with_an_offline_key_the_pi_backs_up_and_comes_back_without_ever_keeping_it(bookworm: Drill) -> None:
    rehearsal = bookworm.rehearsal
    pi, operator = rehearsal.pi, rehearsal.operator
    settings = yaml.safe_load(operator.settings_file.read_text())
    settings["encryption"] = {"offline_key": True}
    operator.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        done = operator.deploy("setup")
        assert done.code == 0, done.output[-3000:]
        identity = secret_values(operator)["encryption.identity"]
        no_key(pi, identity)
        made = operator.deploy("backup", "--data", "label=offline")
        assert made.code == 0, made.output[-3000:]
        no_key(pi, identity)
        proof = operator.deploy("verify", "--data", "drill=sample")
        assert proof.code == 0, proof.output[-3000:]
        host = json.loads(proof.stdout)["hosts"][HOST]
        assert (host["drill"]["store"], host["drill"]["passed"]) == ("drive", True)
        assert identity not in proof.output
        no_key(pi, identity)
        # By itself it can only look whether all is there.
        assert pi.succeeds("systemctl", "start", SAMPLE_SERVICE), journal(pi, SAMPLE_SERVICE)
        assert "loomio-pi deploy verify" in journal(pi, SAMPLE_SERVICE)
        back = operator.deploy("disaster_recovery", "--data", "replace_live_data=yes")
        assert back.code == 0, back.output[-3000:]
        assert "is back, from" in back.output
        assert identity not in back.output
        no_key(pi, identity)
        assert web_status(pi) == 200
        # It knows the backups that it was lent the key for, and goes on.
        assert pi.succeeds("systemctl", "start", BACKUP_SERVICE), journal(pi, BACKUP_SERVICE)
    finally:
        del settings["encryption"]
        operator.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))


def no_key(pi: Pi, identity: str) -> None:
    """Nowhere on the Pi, as far as we put anything there, is the key."""
    places = "/etc/loomio-backup /run /var/lib/loomio-backup /opt/loomio-pi-stack/.env /tmp"
    search = f"grep -rlsI --exclude-dir=docker --exclude-dir=credentials -f - {places} || true"
    assert pi.run("sh", "-c", search, input=f"{identity}\n".encode()) == ""
    for place in (LENT_IDENTITY, LENT_TO_DRILL, LENT_TO_SAMPLE):
        assert not pi.succeeds("test", "-e", place)
    assert not pi.succeeds("test", "-e", "/etc/loomio-backup/credentials/identity")
    assert not pi.succeeds("test", "-e", "/etc/loomio-backup/operator/secrets.yml.age")
