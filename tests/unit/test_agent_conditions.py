"""Each thing that can be wrong has its sentence, and nothing else has one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loomio_backup.config import Config, DriveStore, LocalStore, Stores
from loomio_backup.encryption import crypto
from loomio_backup.monitoring import prometheus, status_text
from loomio_backup.monitoring.alarms import Alarm, Tidings
from loomio_backup.monitoring.conditions import conditions, rank, title
from loomio_backup.monitoring.status import Status
from loomio_backup.monitoring.store_status import FirstCopy, StoreStatus
from loomio_backup.monitoring.watch import message

from .status_samples import NEWEST, NOW, run, status, store

CONFIG = Config(
    host="pi",
    stores=Stores(local=LocalStore(path=Path("/backups")), drive=DriveStore()),
    recipients=[crypto.recipient_of(crypto.generate_identity())],
    signing_public_key=crypto.generate_signing_key()[1],
    timezone="Europe/Berlin",
)


LATE = {
    "late_since": NOW - timedelta(hours=1),
    "newest_at": NOW - timedelta(hours=3),
    "age_seconds": 10_800.0,
}
EMPTY = {"newest": None, "newest_at": None, "age_seconds": None, "backups": 0}
AUTH = {"problem": "Drive does not accept the token. Type: loomio-pi authorize", "free_bytes": None}


@pytest.mark.parametrize(
    ("found_so", "expected"),
    [
        (status(), {}),
        # What was interrupted.
        (status(restore_unsettled_since=NOW - timedelta(minutes=29)), {}),
        (
            status(
                restore_unsettled_since=NOW - timedelta(minutes=31), running="settling a restore, process 17"
            ),
            {"unsettled-restore": ["A restore has not come to its end since 2026-11-23 12:29 CET", "Safe: "]},
        ),
        # One that is going on, with much to fetch.
        (status(restore_unsettled_since=NOW - timedelta(hours=20), running="a restore, process 17"), {}),
        (
            status(update_unsettled_since=NOW - timedelta(hours=25), running="an update, process 17"),
            {"unsettled-update": ["loomio-update.service", "loomio-backup settle"]},
        ),
        # Runs.
        (
            status(runs=[run("failed")]),
            {"run": ["it did not work.", "Safe: loomio_backup_20261123_110000 of"]},
        ),
        (status(runs=[run("killed")]), {"run": ["journalctl -u loomio-backup.service"]}),
        (status(runs=[run("partial")]), {"run": ["it did not work."]}),
        (status(runs=[run("partial")], drive=store("drive", problem="no network.", outage=True)), {}),
        (status(runs=[run("running")]), {}),
        (
            status(runs=[run("failed", "prune")]),
            {"prune": ["Old backups were not removed: it did not work."]},
        ),
        (status(runs=[run("failed", "rotate-key")]), {"rotate-key": ["loomio-backup rotate-key"]}),
        # Late, with what is known about the reason, and with excuses.
        (
            status(drive=store("drive", **LATE)),
            {
                "late-drive": [
                    "by 2026-11-23 12:00 CET",
                    "Safe: loomio_backup_20261123_110000 of 2026-11-23 12:10 CET",
                ]
            },
        ),
        (
            status(drive=store("drive", **LATE), timer="inactive"),
            {"late-drive": ["The timer", "is inactive"]},
        ),
        (status(local=store("local", **LATE), runs=[]), {"late-local": ["No backup has ever been begun"]}),
        (
            status(local=store("local", **LATE | EMPTY)),
            {"late-local": ["no complete backup in the local store"]},
        ),
        (status(local=store("local", **LATE), since_start_seconds=1800.0), {}),
        (status(local=store("local", **LATE), runs=[run("running", hours=23)]), {}),
        (status(local=store("local", **LATE), runs=[run("running", hours=25)]), {"late-local": []}),
        # A first copy may take days, as long as something arrives.
        (
            status(
                drive=store("drive", **LATE | EMPTY, first_copy=FirstCopy(10**9, 10**10, 90_000.0)),
                runs=[run("running", hours=80)],
            ),
            {},
        ),
        (
            status(
                local=store("local", **LATE),
                drive=store("drive", **LATE | EMPTY, first_copy=FirstCopy(10**9, 10**10, 90_000.0)),
                runs=[run("running", hours=80)],
            ),
            {},
        ),
        (
            status(
                drive=store("drive", **LATE | EMPTY, first_copy=FirstCopy(10**9, 10**10, None)),
                runs=[run("running", hours=80)],
            ),
            {"late-drive": []},
        ),
        # Stores.
        (
            status(drive=store("drive", **AUTH)),
            {"access-drive": ["loomio-pi authorize", "in the local store"]},
        ),
        (
            status(drive=store("drive", problem="x", outage=True, outage_since=NOW - timedelta(hours=7))),
            {"access-drive": ["has not answered since 2026-11-23 06:00 CET"]},
        ),
        (status(drive=store("drive", problem="x", outage=True, outage_since=NOW - timedelta(hours=5))), {}),
        (
            status(drive=store("drive", access_problem="The role is missing.")),
            {"access-drive": ["The role is"]},
        ),
        (status(local=store("local", missing=["a", "b"])), {"content-local": ["a and 1 more disappeared"]}),
        (status(local=store("local", unreadable=["a"])), {"content-local": ["a cannot be read"]}),
        (status(local=store("local", incomplete=["a"])), {"content-local": ["a lacks objects"]}),
        (status(local=store("local", held_back="no room.")), {"prune-local": ["prune --dry-run"]}),
        (
            status(local=store("local", held_back="frozen"), frozen="rows: 3."),
            {"frozen": ["rows: 3.", "--resume"]},
        ),
        (
            status(
                drive=store("drive", full_on=date(2026, 12, 1), forecast="Drive will be full on 2026-12-01.")
            ),
            {"space-drive": ["full on 2026-12-01", "14.0 GB are free now"]},
        ),
        (status(drive=store("drive", full_on=date(2027, 3, 2))), {}),
        (
            status(drive=store("drive", free_bytes=100_000_000)),
            {"space-drive": ["hardly any room", "the oldest backups go", "backup.drive.retention"]},
        ),
        (
            status(drive=store("drive", free_bytes=100_000_000, append_only=True)),
            {"space-drive": ["no backup can be stored there", "loomio-pi prune"]},
        ),
        # The Pi itself.
        (status(disk_free_bytes=500_000_000), {"disk": ["500 MB are free", "600 MB are needed"]}),
        (status(drive=store("drive", clock_apart_seconds=-400.0)), {"clock": ["differ by 6 min 40 s"]}),
        (status(local=store("local", age_seconds=-400.0)), {"clock": ["is of the future"]}),
        (status(clock_doubted_since=NOW - timedelta(hours=3), clock_synchronised=False), {}),
        (
            status(
                drive=store("drive", problem="x", outage=True, clock_apart_seconds=None),
                clock_doubted_since=NOW - timedelta(hours=3),
            ),
            {"clock": ["has not been set by the network since"]},
        ),
        # Everything at once is several alarms, one per key.
        (
            status(drive=store("drive", **LATE, missing=["a"]), runs=[run("failed")], disk_free_bytes=1),
            {"run": [], "disk": [], "late-drive": [], "content-drive": []},
        ),
    ],
)
def test_conditions(found_so: Status, expected: dict[str, list[str]]) -> None:
    all_of_it = conditions(CONFIG, found_so)
    found = {condition.key: condition.text for condition in all_of_it}
    assert len(found) == len(all_of_it), "one per key"
    assert found.keys() == expected.keys(), found
    for key, parts in expected.items():
        for part in parts:
            assert part in found[key]
        assert title(key)
        assert rank(key) >= 0
        assert "  " not in found[key]


def test_a_full_drive_that_keeps_a_trash_is_told_as_what_it_is() -> None:
    assert CONFIG.stores.drive is not None
    drive = CONFIG.stores.drive.model_copy(update={"deletion": "trash"})
    config = CONFIG.model_copy(update={"stores": CONFIG.stores.model_copy(update={"drive": drive})})
    [found] = conditions(config, status(drive=store("drive", free_bytes=0)))
    assert "trash of Drive, which counts, too" in found.text
    assert "the oldest backups go" not in found.text


def test_in_plain_words() -> None:
    copy = FirstCopy(bytes_there=2_000_000_000, bytes_left=6_000_000_000, seconds_left=9_000.0)
    found = status(drive=store("drive", **EMPTY, first_copy=copy))
    said = "\n".join(status_text.lines(CONFIG, found, [], status_text.notes(CONFIG, found, nobody=True)))
    assert (
        "Not yet protected: no backup is complete in Google Drive, 2.0 GB are there, about 6.0 GB are "
        in said
    )
    assert "to come, about 2 h 30 min at the present pace." in said
    assert said.splitlines()[0] == "pi, 2026-11-23 13:00 CET: not yet protected"
    assert "Nobody is told when something goes wrong" in said
    assert "key needed:         0123456789abcdef (on this Pi)" in said


def test_without_drive_it_is_said_what_that_means() -> None:
    config = CONFIG.model_copy(update={"stores": Stores(local=LocalStore(path=Path("/backups")))})
    found = status()
    found = replace(found, stores=found.stores[:1])
    [note] = status_text.notes(config, found, nobody=False)
    assert "the backups would die with the Pi" in note
    assert conditions(config, found) == [], "that is a choice, and not a failure"


def test_an_open_alarm_is_shown() -> None:
    alarm = Alarm("late-drive", "…", NOW - timedelta(hours=2), None, None)
    said = "\n".join(status_text.lines(CONFIG, status(alarms=[alarm]), ["x"], []))
    assert "something is wrong" in said
    assert "late-drive, since 2026-11-23 11:00 CET, nobody told yet" in said


def test_a_message_names_what_matters_most_and_lists_the_rest() -> None:
    def alarm(key: str) -> Alarm:
        return Alarm(key, f"Text of {key}.", NOW, NOW, None)

    told = message(
        CONFIG, Tidings((alarm("clock"), alarm("run")), (alarm("late-drive"),), (alarm("disk"),), ())
    )
    assert told.subject == "[pi] Backups: the last backup failed (and 2 more)"
    assert told.kind == "failure"
    assert "Text of clock." in told.body
    assert "Over:\n\n- no room for the next backup (since 2026-11-23 13:00 CET)" in told.body
    assert told.body.endswith("This is about the Pi pi. How everything stands: loomio-backup status")
    over = message(CONFIG, Tidings((), (), (alarm("disk"),), (alarm("clock"),)))
    assert over.subject == "[pi] Backups: over: no room for the next backup"
    assert over.kind == "success"
    assert "Also still so:\n\n- the clock cannot be trusted" in over.body


def test_prometheus_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "loomio.prom"
    path.write_text("old")
    prometheus.write(status(drive=store("drive", **EMPTY, late_since=NOW)), 3, path)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]
    families = {family.name: family for family in text_string_to_metric_families(path.read_text())}
    assert all(family.documentation and family.type == "gauge" for family in families.values())
    values = {
        (sample.name, sample.labels.get("store")): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["loomio_backup_alarms_open", None] == 3
    assert values["loomio_backup_newest_timestamp_seconds", "local"] == NEWEST.timestamp()
    assert ("loomio_backup_newest_timestamp_seconds", "drive") not in values, "what is not known is left out"
    assert values["loomio_backup_late", "drive"] == 1
    assert values["loomio_backup_late", "local"] == 0
    assert values["loomio_backup_last_run_success", None] == 1


def test_half_a_file_for_prometheus_is_never_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        prometheus.write(status(), 0, tmp_path / "absent" / "loomio.prom")
    (tmp_path / "loomio.prom").mkdir()
    with pytest.raises(OSError):
        prometheus.write(status(), 0, tmp_path / "loomio.prom")
    assert [entry.name for entry in tmp_path.iterdir()] == ["loomio.prom"]


def test_json_has_every_documented_field() -> None:
    document = status_text.document(status(), ["x"], ["y"])
    assert (document["ok"], document["problems"], document["notes"]) == (False, ["x"], ["y"])
    assert document["at"] == "2026-11-23T12:00:00+00:00"
    for documented, fields in ((Status, document), (StoreStatus, document["stores"][0])):
        for name in fields:
            if documented is Status and name in ("ok", "problems", "notes"):
                continue
            assert name in (documented.__doc__ or ""), f"{documented.__name__}.{name} is not documented"
