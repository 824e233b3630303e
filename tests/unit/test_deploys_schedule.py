"""The text of the units: who gets which secret, who may write where, what follows what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploys.steps import schedule
from deploys.steps.paths import (
    BACKUP_SERVICE,
    BACKUP_TIMER,
    LABELLED_BACKUP,
    LENT_IDENTITY,
    LENT_TO_DRILL,
    LENT_TO_SAMPLE,
    PRUNE_SERVICE,
    RESTORE_SERVICE,
    SAMPLE_SERVICE,
    SAMPLE_TIMER,
    TIMERS,
    VERIFY_SERVICE,
    VERIFY_TIMER,
    WATCH_SERVICE,
)
from deploys.steps.preflight import Target
from loomio_backup.encryption import crypto, keyring
from tests.fake.scripted import FRESH

from . import deploys_desk as desk

DRIVE = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}


def units(folder: Path, **settings: Any) -> dict[str, str]:
    """All units of a Pi that has every secret there is."""
    identity, old = crypto.generate_identity(), crypto.generate_identity()
    encryption = {
        "identity": identity,
        "legacy_passphrase": "old words",
        "old_identities": [old],
        "keyring": keyring.make([old], [crypto.recipient_of(identity)]),
    }
    secrets = desk.secrets(
        drive={"credentials": DRIVE},
        encryption=encryption,
        alerts={"urls": ["ntfys://ntfy.example.org/topic"]},
    )
    settings = desk.merged({"backup": {"drive": {}}}, settings)
    return schedule.contents(Target(desk.HOST, desk.settings(folder, **settings), secrets, FRESH, {}))


def values(unit: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


#: Where an offline key is put for one run.
IN_MEMORY = (LENT_IDENTITY, LENT_TO_DRILL, LENT_TO_SAMPLE)


def lent(unit: str) -> list[str]:
    """Names of the credentials; each comes from its own file."""
    pairs = [value.split(":") for value in values(unit, "LoadCredential")]
    assert all(path.rpartition("/")[2] == name for name, path in pairs if path not in IN_MEMORY)
    return [name for name, _ in pairs]


def test_each_unit_is_lent_what_it_needs(tmp_path: Path) -> None:
    found = units(tmp_path)
    backup = ["identity", "signing_key", "drive.json", "keyring.age"]
    assert lent(found[BACKUP_SERVICE]) == lent(found[LABELLED_BACKUP]) == backup
    assert lent(found[PRUNE_SERVICE]) == ["drive.json"]
    assert lent(found[WATCH_SERVICE]) == ["drive.json", "alerts.json"]
    for unit in (VERIFY_SERVICE, SAMPLE_SERVICE):
        assert lent(found[unit]) == ["identity", "drive.json", "keyring.age"]
    assert lent(found[RESTORE_SERVICE]) == [*backup, "legacy_passphrase"]


def test_the_passphrase_goes_to_backups_only_where_they_write_the_older_format(tmp_path: Path) -> None:
    found = units(tmp_path, backup={"format": "fernet"})
    assert "legacy_passphrase" in lent(found[BACKUP_SERVICE])
    assert "legacy_passphrase" not in lent(found[PRUNE_SERVICE]) + lent(found[WATCH_SERVICE])


def test_with_an_offline_key_only_restores_and_drills_get_it_and_from_memory(tmp_path: Path) -> None:
    found = units(tmp_path, encryption={"offline_key": True})
    for unit in (BACKUP_SERVICE, LABELLED_BACKUP, PRUNE_SERVICE, WATCH_SERVICE):
        assert "identity" not in lent(found[unit])
        assert LENT_IDENTITY not in found[unit]
    for unit, place in ((VERIFY_SERVICE, LENT_TO_DRILL), (SAMPLE_SERVICE, LENT_TO_SAMPLE)):
        assert f"identity:{place}" in values(found[unit], "LoadCredential")
        assert values(found[unit], "SetCredential") == ["identity:\\n"]
        assert values(found[unit], "ExecStopPost") == [f"+/bin/rm -f {place}"]
        assert place not in units(tmp_path)[unit]
    assert f"identity:{LENT_IDENTITY}" in values(found[RESTORE_SERVICE], "LoadCredential")
    assert values(found[RESTORE_SERVICE], "ExecStopPost") == [f"+/bin/rm -f {LENT_IDENTITY}"]
    assert LENT_IDENTITY not in units(tmp_path)[RESTORE_SERVICE]


@pytest.mark.parametrize(
    ("local", "place"),
    [
        ({"path": "/var/backups/loomio"}, ["-/var/backups/loomio"]),
        ({"path": "/mnt/usb/loomio", "mount_point": "/mnt/usb"}, ["-/mnt/usb"]),
        (False, []),
    ],
)
def test_only_the_agents_own_places_can_be_written(tmp_path: Path, local: object, place: list[str]) -> None:
    found = units(tmp_path, backup={"local": local})
    state = "/var/lib/loomio-backup"
    for unit in (BACKUP_SERVICE, LABELLED_BACKUP, PRUNE_SERVICE):
        assert values(found[unit], "ReadWritePaths") == [" ".join([state, *place])]
    for unit in (WATCH_SERVICE, VERIFY_SERVICE, SAMPLE_SERVICE):
        assert values(found[unit], "ReadWritePaths") == [state]


def test_the_watch_may_write_for_prometheus(tmp_path: Path) -> None:
    found = units(tmp_path, monitoring={"prometheus_file": "/var/lib/prometheus/node-exporter/x.prom"})
    state = "/var/lib/loomio-backup"
    expected = [f"{state} -/var/lib/prometheus/node-exporter"]
    assert values(found[WATCH_SERVICE], "ReadWritePaths") == expected
    assert "prometheus" not in found[BACKUP_SERVICE]


def test_only_what_makes_backups_reaches_docker(tmp_path: Path) -> None:
    found = units(tmp_path)
    for unit in (PRUNE_SERVICE, WATCH_SERVICE):
        assert "-/run/docker.sock" in values(found[unit], "InaccessiblePaths")
    for unit in (BACKUP_SERVICE, VERIFY_SERVICE):
        assert values(found[unit], "InaccessiblePaths") == []


def test_a_labelled_backup_is_the_same_backup_with_a_label(tmp_path: Path) -> None:
    found = units(tmp_path)
    plain = found[BACKUP_SERVICE].replace("Description=Loomio backup\n", "Description=Loomio backup %i\n")
    assert found[LABELLED_BACKUP] == plain.replace("run --wait", "run --wait --label %i --pin")


def test_timers_catch_up_and_follow_the_schedule(tmp_path: Path) -> None:
    found = units(
        tmp_path, backup={"schedule": "30 2 1 * sun", "jitter_seconds": 90}, timezone="Europe/Berlin"
    )
    assert values(found[BACKUP_TIMER], "OnCalendar") == [
        "*-*-01 02:30:00 Europe/Berlin",
        "Sun *-*-* 02:30:00 Europe/Berlin",
    ]
    for timer in TIMERS:
        assert values(found[timer], "Persistent") == ["yes"]
        assert values(found[timer], "RandomizedDelaySec") == ["90"]
        assert values(found[timer], "WantedBy") == ["timers.target"]


def test_a_drill_gives_way_to_everything_else(tmp_path: Path) -> None:
    found = units(tmp_path)
    for unit, arguments in ((VERIFY_SERVICE, "verify --wait"), (SAMPLE_SERVICE, "verify --wait --sample")):
        # One that hangs is ended, and the watch looks at what came of it.
        assert values(found[unit], "TimeoutStartSec") == ["86400"]
        assert values(found[unit], "ExecStart") == [f"/usr/local/bin/loomio-backup {arguments}"]
        assert values(found[unit], "IOSchedulingClass") == ["idle"]
        assert values(found[unit], "Nice") == ["19"]
        assert values(found[unit], "OnFailure") == values(found[unit], "OnSuccess") == [WATCH_SERVICE]


def test_a_schedule_that_is_off_never_comes(tmp_path: Path) -> None:
    found = units(tmp_path, backup={"verify_schedule": False, "verify_sample_schedule": "5 6 * * 1"})
    assert values(found[VERIFY_TIMER], "OnCalendar") == ["1970-01-01 00:00:00 UTC"]
    assert values(found[SAMPLE_TIMER], "OnCalendar") == ["Mon *-*-* 06:05:00 UTC"]
