"""A whole life on trixie: everything comes back, and it comes from Drive."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.lab import combinations
from tests.lab.docker import docker
from tests.lab.drill.judge import judge
from tests.lab.drill.life import PROJECT
from tests.lab.drill.operator import HOST
from tests.lab.pi import Pi

from .conftest import Drill

pytestmark = [pytest.mark.lab, pytest.mark.drill]
AGE_HEADER = b"age-encryption.org/v1"


def address(pi: Pi) -> str:
    return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", pi.name)


def test_everything_came_back(trixie: Drill) -> None:
    judge(trixie.rehearsal)
    report = trixie.rehearsal.report
    assert report.problems == []
    assert report.ok
    assert report.second_setup_changes == 0
    assert (report.rows_differing, report.files_differing, report.attachments_broken) == (0, 0, 0)
    assert report.web_status == 200
    # What was written after the snapshot is lost, and only that: the figures are real.
    assert report.rows_lost > 0
    assert report.data_loss_seconds > 0
    assert report.ledger_entries > 0


def test_every_byte_came_from_drive(trixie: Drill) -> None:
    rehearsal = trixie.rehearsal
    here = address(rehearsal.pi)
    fetched: dict[str, int] = {}
    died = rehearsal.before.died.isoformat()
    for entry in rehearsal.lab.cloud.drive.log():
        download = entry["method"] == "GET" and entry["query"].get("alt") == "media"
        if download and entry["time"] >= died and entry["client"] == here and entry["status"] in (200, 206):
            fetched[entry["name"]] = fetched.get(entry["name"], 0) + entry["bytes_out"]
    stored = rehearsal.lab.cloud.drive.files()
    sizes = {file["name"]: int(file["size"]) for file in stored if file["name"] in rehearsal.before.objects}
    needed = set(rehearsal.before.needed)
    assert needed, "nothing was stored"
    missing = [name for name in needed if fetched.get(name, 0) < sizes[name]]
    assert missing == []


def test_the_recovery_streams_what_the_agent_does(trixie: Drill) -> None:
    """Lines come while the work goes on, not all at once at its end."""
    arrived = trixie.rehearsal.recovery.arrived

    def second(text: str) -> float:
        return next(second for second, line in arrived if text in line)

    name = trixie.rehearsal.before.backup
    assert second(f"restoring {name}") < second(f"{name} is restored") < second("Start every service")
    seconds = {round(second, 1) for second, line in arrived if "] " in line}
    assert len(seconds) > 20, "the lines came in hardly any portions"


def test_all_objects_are_age_files(trixie: Drill) -> None:
    rehearsal = trixie.rehearsal
    stored = rehearsal.lab.cloud.stored()
    assert {"RECOVERY.md"} < set(stored)
    for name, file in stored.items():
        head = docker(
            "exec", rehearsal.lab.cloud.name, "head", "-c", "21", f"/srv/drive/blobs/{file['blob']}"
        )
        assert (head.encode() == AGE_HEADER) == (name != "RECOVERY.md"), name
    local = dict(line.split("\t", 1) for line in trixie.seen["local store"])
    assert set(local) == set(rehearsal.before.objects)
    assert all(head.encode() == AGE_HEADER for name, head in local.items() if name != "RECOVERY.md")


def test_the_sink_keeps_mail_and_hooks(trixie: Drill) -> None:
    pi, cloud = trixie.rehearsal.pi, trixie.rehearsal.lab.cloud
    letter = b"Subject: the backup failed\n\nT\xc4\x81maki\n"
    addresses = ("--mail-from", "pi@example.org", "--mail-rcpt", "ops@example.org")
    pi.run("curl", "-fsS", "smtp://cloud:25", *addresses, "--upload-file", "-", input=letter)
    pi.run("curl", "-fsS", "-d", "{}", "http://cloud:8025/ping/abc")
    assert [(mail["from"], mail["to"]) for mail in cloud.kept("mail")] == [
        ("pi@example.org", ["ops@example.org"])
    ]
    assert "T\u0101maki" in str(cloud.kept("mail")[0]["data"])
    assert {"path": "/ping/abc", "body": "{}"} in cloud.kept("hooks")


def test_verify_is_content_with_the_recovered_pi(trixie: Drill) -> None:
    finished = trixie.rehearsal.operator.deploy("verify")
    assert finished.code == 0, finished.output
    host = json.loads(finished.stdout)["hosts"][HOST]
    assert (host["ok"], host["problems"], host["drift"]) == (True, [], [])
    drill = host["drill"]
    assert (drill["store"], drill["scope"], drill["passed"]) == ("drive", "whole", True)
    assert drill["backup"] == host["backups"]["backup"]
    assert drill["rows"] > 100
    assert "If this Pi dies now" in host["outlook"]
    assert host["outlook"] in finished.output


def test_the_optional_parts_came_back(trixie: Drill) -> None:
    """Those that this Pi had: they are part of the stack."""
    pi = trixie.rehearsal.pi
    names = pi.run("docker", "ps", "--format", '{{.Label "com.docker.compose.service"}}').split()
    parts = combinations.LIVES["trixie"].parts
    assert [part for part in parts if part not in names] == []
    container = f"{PROJECT}-tunnel-1"
    assert "tunnel: a token of " in pi.run("docker", "logs", container)


def test_the_report_has_what_is_promised(trixie: Drill) -> None:
    promised = """
        ok os total_seconds setup_seconds second_setup_changes backup_seconds backup_bytes data_loss_seconds
        rows_lost recovery_seconds tables rows rows_differing files files_differing attachments
        attachments_broken web_status phases
    """
    report = json.loads(json.dumps(dataclasses.asdict(trixie.rehearsal.report)))
    assert [key for key in promised.split() if key not in report] == []
