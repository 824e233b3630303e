"""What follows from drills: alarms, the outlook, what the app is given, when none may begin. Pure parts."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loomio_backup import clock
from loomio_backup.backup import bundle
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.config import Config, DriveStore, LocalStore, Stores, Verify
from loomio_backup.credentials import Credentials
from loomio_backup.database.postgres import DatabaseProperties
from loomio_backup.docker import Helper
from loomio_backup.drill import drill_app, drill_gates, drills, leases
from loomio_backup.drill.drill_bench import Copy
from loomio_backup.drill.drill_guard import Guard
from loomio_backup.drill.drills import Drill
from loomio_backup.drill.outlook import outlook
from loomio_backup.encryption import crypto
from loomio_backup.errors import DrillError
from loomio_backup.monitoring.conditions import conditions, rank, title
from loomio_backup.monitoring.drill_status import DrillStatus, Standing, standing
from loomio_backup.retention.holding import Observer
from loomio_backup.retention.pins import Pins
from loomio_backup.state import StateDirectory

from .agent_backups import shelf
from .status_samples import run, status, store

BEGAN = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
CONFIG = Config(
    host="pi",
    stores=Stores(local=LocalStore(path=Path("/backups")), drive=DriveStore()),
    recipients=[crypto.recipient_of(crypto.generate_identity())],
    signing_public_key=crypto.generate_signing_key()[1],
    verify=Verify(schedule="30 4 1 * *"),
    application_keys=["VAPID_PRIVATE_KEY"],
)


def drill(days: float, **changes: Any) -> Drill:
    moment = BEGAN + timedelta(days=days)
    values: dict[str, Any] = {
        "store": "drive",
        "backup": "loomio_backup_20260110_110000",
        "snapshot_at": BEGAN,
        "started_at": moment - timedelta(minutes=30),
        "finished_at": moment,
        "scope": "whole",
        "passed": True,
        "phases": {"prepare": 12.0, "fetch": 600.0, "database": 300.0, "files": 120.0, "app": 100.0},
    }
    return Drill(**values | changes)


def at(days: float, *found: Drill, config: Config = CONFIG, kind: str = "drive") -> Standing:
    newest_first = sorted(found, key=lambda one: one.finished_at, reverse=True)
    return standing(config, kind, newest_first, BEGAN, BEGAN + timedelta(days=days))


def test_a_whole_drill_that_failed_is_made_up_for_by_a_whole_one_only() -> None:
    failed = drill(1, passed=False, problems=["it is damaged"])
    expected = DrillStatus(failed.backup, failed.finished_at, "whole", ["it is damaged"])
    assert at(2, failed).failed == expected
    assert at(9, failed, drill(8, scope="sample")).failed == expected
    assert at(9, failed, drill(8)).failed is None
    sampled = drill(10, scope="sample", passed=False, problems=["missing"])
    found = at(11, drill(8), sampled).failed
    assert found is not None
    assert found.scope == "sample"


@pytest.mark.parametrize(
    ("days", "found", "late"),
    [
        (22.5, [], False),  # due on the first of February at 4:30, and a day of patience
        (22.8, [], True),
        (30, [drill(22)], False),
        (50.5, [drill(22)], False),  # the next is due on the first of March
        (50.8, [drill(22)], True),
        (50.8, [drill(22), drill(50, scope="sample")], True),
        (50.8, [drill(22), drill(50, passed=False)], True),
    ],
)
def test_a_whole_drill_that_did_not_pass_in_time_is_late(days: float, found: list[Drill], late: bool) -> None:
    assert (at(days, *found).unproven_since is not None) is late


def test_nothing_is_late_where_nothing_is_promised() -> None:
    off = CONFIG.model_copy(update={"verify": Verify()})
    assert at(400, config=off) == Standing()
    assert at(400, kind="local") == Standing()


def test_the_alarms_say_what_happened_and_what_to_type() -> None:
    failed = Standing(failed=DrillStatus("b", BEGAN, "whole", ["one", "two", "three", "four"]))
    moment = BEGAN - timedelta(days=30)
    drive = store("drive", drills=failed, verified="before", verified_at=moment)
    [found] = conditions(CONFIG, status(drive=drive))
    assert found.key == "drill-drive"
    for part in ("b does not come back from Google Drive", "one; two; three; and 1 more", "is before"):
        assert part in found.text
    assert found.text.endswith("loomio-backup verify --store drive")
    assert title(found.key) == "a backup does not come back from Google Drive"
    late = Standing(unproven_since=BEGAN)
    broken = run("failed", "verify", "Drive did not answer.")
    [found] = conditions(CONFIG, status(drive=store("drive", drills=late), runs=[broken]))
    assert found.key == "proof-drive"
    assert "None there has been proven" in found.text
    assert "came to no end: Drive did not answer. " in found.text
    assert rank("drill-drive") < rank("proof-drive") < rank("space-drive")
    offline = CONFIG.model_copy(update={"verify": Verify(schedule="30 4 1 * *", offline_key=True)})
    [found] = conditions(offline, status(drive=store("drive", drills=late)))
    assert found.text.endswith("On your computer type: loomio-pi deploy verify")


def test_the_outlook_is_measured_or_says_that_it_is_not() -> None:
    found = outlook(CONFIG, 34 * 60.0, [drill(5, scope="sample"), drill(3)])
    assert found.back_seconds == 1020.0
    assert found.measured_at == drill(3).finished_at
    for part in ("34 min of work lost", "back in about 17 min", "the drill of 2026-01-13", "download 10 min"):
        assert part in found.text, found.text
    unmeasured = outlook(CONFIG, 60.0, [drill(5, passed=False, problems=["x"])])
    assert (unmeasured.back_seconds, unmeasured.measured_at) == (None, None)
    assert "not known" in unmeasured.text
    assert "everything is lost" in outlook(CONFIG, None, []).text
    alone = CONFIG.model_copy(update={"stores": Stores(local=LocalStore())})
    assert "die with it" in outlook(alone, 60.0, []).text


def test_a_drill_that_comes_to_no_end_is_told_of() -> None:
    hanging = run("running", "verify", None, hours=13)
    [found] = conditions(CONFIG, status(runs=[hanging]))
    assert found.key == "drill-run"
    for part in ("came to no end in 13 h", "untouched", "it is ended by itself", "systemctl stop"):
        assert part in found.text
    assert conditions(CONFIG, status(runs=[run("running", "verify", None, hours=11)])) == []

    ended = run("failed", "verify", "it was told to end before it was done", hours=24.1)
    [found] = conditions(CONFIG, status(runs=[ended]))
    assert "came to no end in 24 h 6 min, and was ended." in found.text
    assert title("drill-run") == "a drill comes to no end"
    # One that failed at once has alarms of its own, and one that the power took will come again.
    assert conditions(CONFIG, status(runs=[run("failed", "verify")])) == []
    assert conditions(CONFIG, status(runs=[run("killed", "verify", hours=30)])) == []
    assert conditions(CONFIG, status(runs=[run("complete", "verify", None, hours=30)])) == []


def test_memory_decides_whether_a_drill_begins() -> None:
    text = "MemTotal:  3000000 kB\nMemFree: 100000 kB\nMemAvailable:   600000 kB\n"
    assert drill_gates.available_memory(text) == 600000 * 1024
    drill_gates.require_memory(600 << 20)
    with pytest.raises(DrillError, match="no drill was begun"):
        drill_gates.require_memory(500 << 20)
    assert drill_gates.too_little_for_the_app(1 << 30) is None
    assert "are needed" in (drill_gates.too_little_for_the_app(900 << 20) or "")
    with pytest.raises(DrillError, match="does not say"):
        drill_gates.available_memory("MemTotal: 1 kB\n")


def test_the_app_is_given_what_is_on_the_list_and_the_way_to_the_copy() -> None:
    env = (
        "SECRET_COOKIE_TOKEN=cookie\nVAPID_PRIVATE_KEY=vapid\nSMTP_PASSWORD=mail\nOAUTH_APP_SECRET=oauth\n"
        "AWS_SECRET_ACCESS_KEY=aws\nSENTRY_DSN=https://sentry\nDATABASE_URL=postgresql://live\n"
        "REDIS_URL=redis://live\nACTIVE_STORAGE_SERVICE=amazon\nTUNNEL_TOKEN=tunnel\nFORCE_SSL=\n"
        "SOMETHING_NEW=secret\nCANONICAL_HOST=loomio.example.org\n"
    )
    properties = DatabaseProperties("loomio", "UTF8", "C", "C", "libc", None, -1, [])
    copy = Copy(Helper("x", Path("/nowhere")), "x", "pass/word")
    found = drill_app.environment(CONFIG, copy, bundle.Bundle(env=env, properties=properties, roles=[]))
    assert found == {
        "SECRET_COOKIE_TOKEN": "cookie",
        "VAPID_PRIVATE_KEY": "vapid",
        "CANONICAL_HOST": "loomio.example.org",
        "DATABASE_URL": "postgresql://loomio:pass%2Fword@db/loomio_production",
        "REDIS_URL": "redis://redis:6379/0",
        "REDIS_CACHE_URL": "redis://redis:6379/0",
        "ACTIVE_STORAGE_SERVICE": "local",
    }


def test_what_a_drill_reads_is_kept_until_it_ends(tmp_path: Path) -> None:
    made = shelf(tmp_path)
    first = made.backup(["local"])
    made.backup(["local"])
    state, credentials = StateDirectory(made.config.state_directory), Credentials(tmp_path / "credentials")
    with made.catalogue() as catalogue:
        reader = Reader(made.config, credentials, state, catalogue)
        observer = Observer(
            made.config, state, catalogue, Pins(made.config, credentials, state, catalogue, reader)
        )
        local = made.stores["local"]

        def pinned() -> set[str]:
            found = observer.observe(local, reader.read(local), {}).state
            return {backup.name for backup in found.backups if backup.pin == "person"}

        assert leases.leased(state) is None
        with leases.hold(state) as lease:
            assert leases.leased(state) == ""
            assert pinned() == set()
            lease.take(first.name)
            assert pinned() == {first.name}
        assert pinned() == set()


def test_only_proven_backups_count_as_verified_in_status(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        moment = clock.now()
        for scope in ("whole", "sample"):
            drills.record(
                catalogue,
                drill(1, scope=scope, finished_at=moment, started_at=moment, backup=f"a {scope} one"),
            )
        assert drills.verified(catalogue, "drive") == {"a whole one"}


def test_a_disk_that_gets_tight_ends_the_drill_once(tmp_path: Path) -> None:
    stopped = threading.Event()
    with Guard([tmp_path], stopped.set, floor=1 << 62) as guard:
        assert stopped.wait(10)
    assert "the drill was given up" in (guard.reason or "")
    with Guard([tmp_path], stopped.clear, floor=0) as guard:
        pass
    assert guard.reason is None
    assert stopped.is_set()
