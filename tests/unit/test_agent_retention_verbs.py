"""The verbs prune, pin and unpin, as they are typed."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup import clock, config
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.command import cli
from loomio_backup.restore.restore_journal import Journal, save
from loomio_backup.retention.pins import MOST_BYTES, pin_name
from loomio_backup.stores.local import LocalFolder
from tests.lab.drive import DriveEmulator, LabDrive

from .retention_bench import Bench
from .stores_bench import DriveBench

Run = Callable[..., str]
HOUR = timedelta(hours=1)


@pytest.fixture
def google(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """With a local store; three backups, of which the settings keep the newest."""
    made = Bench(tmp_path / "pi", {"local": LocalFolder(tmp_path / "pi" / "disk")})
    _configure(made, "local")
    yield made
    made.close()


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is made within some hours is of one day."""
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


@pytest.fixture
def backups(noon: None, bench: Bench) -> list[Manifest]:
    shared = bench.pack()
    return [bench.make([shared], ago=hours * HOUR) for hours in (3, 2, 1)]


@pytest.fixture
def run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a verb; returns what it prints, or the sentence of its failure with `code=1`."""

    def typed(*arguments: str, code: int = 0, on: Bench = bench) -> str:
        assert cli.main(["--config", str(on.root / "config.yml"), *arguments]) == code
        said = capsys.readouterr()
        if code == 0:
            assert said.err == ""
            return said.out
        assert said.err.startswith("loomio-backup: ")
        return said.err

    return typed


def _configure(bench: Bench, *kinds: str) -> None:
    stores = bench.config.stores
    only = stores.model_copy(update={kind: None for kind in ("local", "drive") if kind not in kinds})
    (bench.root / "config.yml").write_text(config.dump(bench.config.model_copy(update={"stores": only})))


def test_a_dry_run_explains_and_prune_does_it_once(bench: Bench, backups: list[Manifest], run: Run) -> None:
    first, second, newest = (backup.name for backup in backups)
    bench.stray("local", f"app-data_{'c' * 32}.tar.zst.age")
    before = bench.names("local")
    assert run("prune", "--dry-run").splitlines() == [
        f"local: keep         {newest}: the newest complete backup",
        f"local: remove       {second}: of the day 2026-11-23 {newest} is kept",
        f"local: remove       {first}: of the day 2026-11-23 {newest} is kept",
        f"local: watch        app-data_{'c' * 32}.tar.zst.age: nothing needs it; it goes when that has been "
        "so for 7 days",
    ]
    assert bench.names("local") == before
    said = run("prune")
    assert f"local: {first} removed: of the day 2026-11-23" in said
    assert "local: 2 backups removed, 1 are there, 1 objects that nothing needs are watched" in said
    assert bench.backups("local") == [newest]
    assert "local: 0 backups removed, 1 are there" in run("prune")


def test_prune_as_a_document(backups: list[Manifest], run: Run) -> None:
    [dry] = json.loads(run("prune", "--dry-run", "--json"))
    assert [one["action"] for one in dry["decisions"]] == ["keep", "remove", "remove"]
    assert (dry["removed"], dry["dry_run"]) == ([], True)
    [done] = json.loads(run("prune", "--json", "--store", "local"))
    assert done["removed"] == [backup.name for backup in backups[:2]]
    assert (done["problem"], done["stopped"]) == (None, None)
    assert done["freed_bytes"] > 1200


def test_a_store_that_is_not_there(backups: list[Manifest], run: Run) -> None:
    assert "no store drive is configured. Nothing was done." in run("prune", "--store", "drive", code=1)


def test_what_is_pinned_stays_until_it_is_unpinned(bench: Bench, backups: list[Manifest], run: Run) -> None:
    name = backups[0].name
    assert run("pin", name, "--reason", "the general assembly") == f"local: {name} is now pinned\n"
    assert run("pin", name) == f"local: {name} was pinned already\n"
    run("prune")
    assert bench.backups("local") == [name, backups[2].name]
    assert "is no longer pinned" in run("unpin", name)
    assert run("unpin", name) == ""
    run("prune")
    assert bench.backups("local") == [backups[2].name]
    assert pin_name(name) not in bench.names("local")
    for verb in ("pin", "unpin"):
        said = run(verb, name, code=1)
        assert f"no store holds a backup {name}. Nothing was changed. See: loomio-backup list" in said


def test_what_only_has_a_pins_name_pins_and_is_never_fetched(
    google: DriveBench, tmp_path: Path, run: Run
) -> None:
    secret = google.lab.register_user()
    store = google.store(secret)
    pi = Bench(tmp_path / "user", {"drive": store}, drive=google.settings())
    (pi.root / "credentials" / "drive.json").write_text(json.dumps(secret))
    _configure(pi, "drive")
    made = pi.make()
    huge = tmp_path / pin_name(made.name)
    huge.write_bytes(bytes(MOST_BYTES + 1))
    store.put(huge.name, huge, as_it_is(huge))
    google.lab.clear_log()
    assert run("pin", made.name, on=pi) == f"drive: {made.name} was pinned already\n"
    assert huge.name not in [line["name"] for line in google.lab.log() if line["operation"] == "download"]
    pi.close()


def test_frozen_retention_goes_on_when_a_person_says_so(
    bench: Bench, backups: list[Manifest], run: Run
) -> None:
    bench.catalogue.set_meta("frozen", "rows: half of them are gone.")
    said = run("prune")
    assert "Nothing is removed by the settings now: retention is frozen: rows: half of them are gone." in said
    assert len(bench.backups("local")) == 3
    said = run("prune", "--resume")
    assert "retention goes on. It was frozen: rows: half of them are gone." in said
    assert "unpin NAME" in said
    assert bench.backups("local") == [backups[2].name]


def test_what_disappeared_fails_the_verb_until_a_person_accepts_it(
    bench: Bench, backups: list[Manifest], run: Run
) -> None:
    (bench.root / "disk" / backups[1].manifest_name).unlink()
    said = run("prune", code=1)
    assert f"{backups[1].manifest_name} disappeared from the store, and not by this program" in said
    assert "See every decision with: loomio-backup prune --dry-run" in said
    failed = bench.catalogue.last_run("prune")
    assert failed is not None and failed.outcome == "failed" and failed.error is not None
    assert "disappeared" in failed.error
    said = run("prune", "--resume")
    assert f"local: {backups[1].manifest_name} disappeared, and is no longer expected there" in said
    assert bench.backups("local") == [backups[2].name]
    done = bench.catalogue.last_run("prune")
    assert done is not None and done.outcome == "complete"


def test_prune_waits_its_turn(bench: Bench, backups: list[Manifest], run: Run) -> None:
    with (bench.root / "state" / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "prune was not started: another one is running" in run("prune", code=1)
        assert "unpin was not started" in run("unpin", backups[0].name, code=1)
        assert "is now pinned" in run("pin", backups[0].name), "pinning does not wait for a long backup"
        assert "remove" in run("prune", "--dry-run")


def test_a_restore_that_is_not_done_keeps_its_backup(bench: Bench, backups: list[Manifest], run: Run) -> None:
    journal = Journal(
        id="x",
        state="preparing",
        backup=backups[0].name,
        stores=["local"],
        instance="i" * 32,
        generation=1,
        snapshot_at=backups[0].snapshot_at,
        started_at=backups[2].snapshot_at,
        live="a",
        new="b",
        aside="c",
    )
    save(bench.state.restore_journal, journal)
    run("prune")
    assert bench.backups("local") == [backups[0].name, backups[2].name]
    for half in ("switching", "clearing"):
        save(bench.state.restore_journal, journal.model_copy(update={"state": half}))
        assert "was interrupted half-way" in run("prune", code=1)
    save(bench.state.restore_journal, journal.model_copy(update={"state": "done"}))
    run("prune")
    assert bench.backups("local") == [backups[2].name]


def test_append_only_says_so_and_unpins_elsewhere(google: DriveBench, tmp_path: Path, run: Run) -> None:
    """The Pi is a contributor of a shared drive; the same verbs on another machine, as its manager, prune."""
    secret = google.lab.register_service_account()
    manager = google.lab.register_service_account("manager@project.iam.gserviceaccount.com")
    drive_id = google.lab.register_shared_drive(
        "Group", {secret["client_email"]: "writer", manager["client_email"]: "organizer"}
    )
    settings = google.settings(shared_drive_id=drive_id)
    append_only = settings.model_copy(update={"append_only": True})
    store = google.store(secret, shared_drive_id=drive_id, append_only=True)
    pi = Bench(tmp_path / "contributor", {"drive": store}, drive=append_only)
    (pi.root / "credentials" / "drive.json").write_text(json.dumps(secret))
    _configure(pi, "drive")
    made = [pi.make(ago=hours * HOUR) for hours in (3, 2, 1)]
    assert "never deletes there (append_only); prune runs elsewhere" in run("prune", on=pi)
    assert "is now pinned" in run("pin", made[0].name, on=pi)
    said = run("unpin", made[0].name, on=pi, code=1)
    assert f"{made[0].name} stays pinned there" in said
    assert "loomio-pi prune --unpin" in said
    assert len(pi.backups("drive")) == 3

    laptop = Bench(tmp_path / "laptop", {}, drive=settings, other=pi)
    (laptop.root / "credentials" / "drive.json").write_text(json.dumps(manager))
    _configure(laptop, "drive")
    run("prune", on=laptop)
    assert pi.backups("drive") == [made[0].name, made[2].name]
    run("unpin", made[0].name, on=laptop)
    run("prune", on=laptop)
    assert pi.backups("drive") == [made[2].name]
    pi.close()
    laptop.close()
