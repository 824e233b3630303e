"""Removing backups from real stores: what goes, what stays, what is watched, and what is picked up again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Lineage
from loomio_backup.catalogue.manifest import SUFFIX, Manifest
from loomio_backup.errors import StoreAppendOnly, StoreUnavailable
from loomio_backup.retention.pins import Pin, pin_name
from loomio_backup.retention.prune import Pruner
from loomio_backup.stores import Store, StoredObject
from loomio_backup.stores.local import LocalFolder
from tests.lab.drive import DriveEmulator, LabDrive

from .retention_bench import NEWEST, Bench
from .stores_bench import DriveBench, digests_of

HOUR = timedelta(hours=1)


@pytest.fixture
def google(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        bench = DriveBench(emulator, LabDrive(emulator.url))
        bench.lab.post("state", {"page_limit": 3})
        yield bench


@pytest.fixture(params=["local", "drive"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """With the one store that is the test's parameter."""
    store: Store
    if request.param == "local":
        store = LocalFolder(tmp_path / "pi" / "disk")
    else:
        store = request.getfixturevalue("google").user_store()
    made = Bench(tmp_path / "pi", {request.param: store})
    yield made
    made.close()


@pytest.fixture
def both(tmp_path: Path, google: DriveBench) -> Iterator[Bench]:
    made = Bench(
        tmp_path / "pi", {"local": LocalFolder(tmp_path / "pi" / "disk"), "drive": google.user_store()}
    )
    yield made
    made.close()


def _kind(bench: Bench) -> str:
    return next(iter(bench.stores))


def _of(manifest: Manifest) -> set[str]:
    return {entry.name for entry in manifest.objects} | {manifest.manifest_name}


def _pin(backup: Manifest, by: str = "person") -> Pin:
    return Pin(backup=backup.name, reason="because", pinned_at=clock.now(), by=by)  # type: ignore[arg-type]


def _bytes(bench: Bench, kind: str) -> int:
    return sum(stored.size for stored in bench.stores[kind].list())


def _rows(bench: Bench, table: str) -> int:
    return int(bench.catalogue.database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


class _Dying(BaseException):
    """The process is gone."""


class _Mortal:
    """Dies in front of the n-th deletion."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, left: int) -> None:
        self.left, real = left, store.delete

        def delete(stored: StoredObject) -> None:
            self.left -= 1
            if self.left == 0:
                raise _Dying
            real(stored)

        monkeypatch.setattr(store, "delete", delete)


# -- removing ------------------------------------------------------------------------------------------------


def test_a_shared_pack_goes_with_the_last_backup_that_needs_it(bench: Bench) -> None:
    kind = _kind(bench)
    once, twice, used = bench.pack(), bench.pack(), bench.pack()
    old = bench.make([once, twice], ago=3 * HOUR)
    pinned = bench.make([twice, used], ago=2 * HOUR)
    newest = bench.make([used])
    bench.pins.put(bench.stores[kind], bench.history(kind), _pin(pinned))
    before = _bytes(bench, kind)
    report = bench.prune()[kind]
    assert report.removed == [old.name]
    assert report.freed == before - _bytes(bench, kind) > once.stored_size
    assert bench.names(kind) == _of(pinned) | _of(newest) | {pin_name(pinned.name)}
    bench.pins.remove(bench.stores[kind], bench.history(kind), pinned.name)
    assert bench.prune()[kind].removed == [pinned.name]
    assert bench.names(kind) == _of(newest)
    again = bench.prune()[kind]
    assert (again.removed, again.freed, again.problem) == ([], 0, None)


def test_what_no_store_holds_is_forgotten(both: Bench) -> None:
    pack = both.pack()
    old = both.make([pack], ago=3 * HOUR)
    newest = both.make()
    both.catalogue.add_packed([(b"path", pack.name, 1, 1, 1, 1, "hash")])
    assert both.prune("local")["local"].removed == [old.name]
    assert both.catalogue.manifest(old.name) is not None, "Drive holds it still"
    assert both.catalogue.entry(pack.name) is not None
    assert both.prune()["drive"].removed == [old.name]
    assert both.catalogue.manifest(old.name) is None
    assert both.catalogue.entry(pack.name) is None
    assert _rows(both, "packed") == 0
    assert both.catalogue.manifest(newest.name) is not None
    for kind in ("local", "drive"):
        assert set(both.catalogue.stored_in(kind)) == both.names(kind)
    assert both.catalogue.removed_from("drive") == {old.name}
    both.catalogue.database.execute("UPDATE removals SET removed_at = '2020-01-01T00:00:00+00:00'")
    both.prune()
    assert both.catalogue.removed_from("drive") == set()


def test_a_dry_run_changes_nothing_and_explains_everything(both: Bench) -> None:
    pack = both.pack()
    both.make([pack], ago=3 * HOUR)
    both.make([both.pack()])
    both.stray("local", f"app-data_{'a' * 32}.tar.zst.age")
    before = {kind: both.names(kind) for kind in both.stores}
    rows = [_rows(both, table) for table in ("stored", "removals", "marks", "manifests", "objects")]
    reports = both.prune(dry_run=True)
    assert {kind: both.names(kind) for kind in both.stores} == before
    assert [_rows(both, table) for table in ("stored", "removals", "marks", "manifests", "objects")] == rows
    for report in reports.values():
        assert report.plan is not None
        assert [one.action for one in report.plan.decisions] == ["keep", "remove"]
    assert reports["local"].clearing is not None
    assert [one.name for one in reports["local"].clearing.waiting] == [f"app-data_{'a' * 32}.tar.zst.age"]


@pytest.mark.parametrize("step", range(1, 7))
def test_an_interrupted_removal_is_finished_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Manifest, dump, config, pack: whichever of them the process dies in front of."""
    kind, store = _kind(bench), bench.stores[_kind(bench)]
    kept, lost = bench.pack(), bench.pack()
    old = bench.make([lost, kept], ago=3 * HOUR, legacy=True)
    newest = bench.make([kept])
    with monkeypatch.context() as patch:
        _Mortal(patch, store, step)
        if step <= 5:
            with pytest.raises(_Dying):
                bench.prune()
        else:
            bench.prune()
    assert bench.backups(kind)[-1] == newest.name
    report = bench.prune()[kind]
    assert bench.names(kind) == _of(newest)
    # Before the manifest was gone the decision was made anew; afterwards it was finished.
    assert report.removed == ([old.name] if step == 1 else [])
    assert report.finished == ([old.name] if 1 < step <= 5 else [])
    assert bench.catalogue.database.execute("SELECT done FROM removals").fetchall() == [(1,)]


def test_an_interrupted_decision_is_made_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned since: then it stays, although its removal had been written down."""
    kind, store = _kind(bench), bench.stores[_kind(bench)]
    old = bench.make(ago=3 * HOUR)
    bench.make()
    with monkeypatch.context() as patch:
        _Mortal(patch, store, 1)
        with pytest.raises(_Dying):
            bench.prune()
    bench.pins.put(store, bench.history(kind), _pin(old))
    assert bench.prune()[kind].removed == []
    assert _rows(bench, "removals") == 0


def test_whoever_pins_meanwhile_is_heard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, store = _kind(bench), bench.stores[_kind(bench)]
    old = bench.make(ago=3 * HOUR)
    bench.make()
    real = store.now

    def now() -> object:
        bench.pins.put(store, bench.history(kind), _pin(old))  # while the store is being judged
        return real()

    monkeypatch.setattr(store, "now", now)
    assert bench.prune()[kind].removed == []
    assert any("it was pinned a moment ago" in line for line in bench.said)


def test_a_store_that_fails_is_told_and_the_other_is_pruned(
    both: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = both.make(ago=3 * HOUR)
    both.make()

    def delete(_: StoredObject) -> None:
        raise StoreUnavailable("Drive did not answer.")

    monkeypatch.setattr(both.stores["drive"], "delete", delete)
    reports = both.prune()
    assert reports["local"].removed == [old.name]
    assert reports["drive"].problem == "Drive did not answer."
    assert both.catalogue.meta("retention_drive") == "Drive did not answer."
    monkeypatch.undo()
    assert both.prune()["drive"].removed == [old.name]
    assert both.catalogue.meta("retention_drive") is None


def test_a_list_that_still_shows_what_is_gone_deceives_nobody(
    google: DriveBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = google.user_store()
    bench = Bench(tmp_path / "pi", {"drive": store})
    pack = bench.pack()
    bench.make([pack], ago=3 * HOUR)
    newest = bench.make()
    stale = list(store.list())
    bench.prune()
    monkeypatch.setattr(store, "list", lambda: iter(stale))
    report = bench.prune()["drive"]
    assert (report.removed, report.finished, report.problem) == ([], [], None)
    assert report.plan is not None
    assert [one.name for one in report.plan.decisions] == [newest.name]
    bench.close()


def test_after_a_take_over_lists_may_hide_who_needs_a_pack(
    google: DriveBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest backup of the Pi before is not listed yet, and needs a pack that no other one does."""
    store = google.user_store()
    before = Bench(tmp_path / "before", {"drive": store})
    pack = before.pack()
    old = before.make([pack], ago=3 * HOUR)
    google.lab.fault("hide", times=None, seconds=3600, match={"upload": True})
    hidden = before.make([pack], ago=2 * HOUR)
    google.lab.clear_faults()
    after = Bench(tmp_path / "after", {"drive": store}, other=before)
    newest = after.make(ago=HOUR, generation=2)
    assert after.backups("drive") == [old.name, newest.name]
    assert after.prune()["drive"].removed == [old.name]
    google.lab.let_lists_catch_up()
    assert _of(hidden) <= after.names("drive"), "whole, because shared objects wait for a while"
    # Two days later lists are up to date.
    real, later = clock.now, timedelta(days=2)
    monkeypatch.setattr(store, "now", lambda: real() + later)
    monkeypatch.setattr(clock, "now", lambda: real() + later)
    after.prune()
    assert after.names("drive") == _of(newest)
    before.close()
    after.close()


# -- doubt ---------------------------------------------------------------------------------------------------


def test_a_manifest_that_disappeared_stops_everything_until_a_person_accepts_it(bench: Bench) -> None:
    kind, store = _kind(bench), bench.stores[_kind(bench)]
    pack = bench.pack()
    lost, old = bench.make([pack], ago=4 * HOUR), bench.make(ago=3 * HOUR)
    bench.make()
    stored = store.stat(lost.manifest_name)
    assert stored is not None
    store.delete(stored)
    report = bench.prune()[kind]
    assert report.removed == []
    assert report.problem is not None and f"{lost.manifest_name} disappeared" in report.problem
    bench.catalogue.forget_stored(kind, lost.manifest_name)  # what `prune --resume` does
    assert bench.prune()[kind].removed == [old.name]
    assert pack.name in bench.names(kind), "what only that backup needed is watched first"


def test_a_manifest_that_cannot_be_read_stops_everything(bench: Bench) -> None:
    kind = _kind(bench)
    bench.make(ago=3 * HOUR)
    bench.make()
    odd = bench.stray(kind, "loomio_backup_20260101_000000" + SUFFIX, b"not a manifest")
    stray = bench.stray(kind, f"app-data_{'b' * 32}.tar.zst.age")
    for _ in range(2):
        report = bench.prune()[kind]
        assert report.removed == []
        assert report.problem is not None and odd.name in report.problem
        bench.age_marks(8)
    assert _rows(bench, "marks") == 0
    assert stray.name in bench.names(kind)


def test_nothing_goes_on_the_word_of_a_clock_that_is_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest backup was dated into the future: "latest" must not make the others old."""
    kind, real = _kind(bench), clock.now
    for number in range(3):
        bench.make(ago=number * timedelta(days=40))
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: real() + timedelta(days=365))
        bench.make()
    report = bench.prune()[kind]
    assert report.removed == []
    assert report.problem is not None and "in the future" in report.problem
    assert len(bench.backups(kind)) == 4


def test_a_pi_that_was_replaced_removes_nothing(bench: Bench) -> None:
    kind = _kind(bench)
    bench.make(ago=3 * HOUR)
    bench.make(ago=2 * HOUR)
    bench.make(generation=2)
    bench.catalogue.set_lineage(Lineage("i" * 32, 1, 2, None))
    report = bench.prune()[kind]
    assert report.removed == []
    assert report.problem is not None and "another Pi has taken over" in report.problem
    bench.catalogue.set_lineage(Lineage("j" * 32, 3, 2, None))
    report = bench.prune()[kind]
    assert report.problem is not None and "several Loomios" in report.problem


def test_frozen_is_told_and_no_failure(bench: Bench) -> None:
    kind = _kind(bench)
    bench.make(ago=3 * HOUR)
    bench.make()
    bench.catalogue.set_meta("frozen", "rows collapsed.")
    report = bench.prune()[kind]
    assert (report.removed, report.problem) == ([], None)
    assert report.note == "retention is frozen: rows collapsed."


# -- pins ----------------------------------------------------------------------------------------------------


def test_pins_say_who_and_why_and_a_persons_takes_the_programs_place(bench: Bench) -> None:
    kind, store = _kind(bench), bench.stores[_kind(bench)]
    made = bench.make()

    def put(by: str) -> bool:
        return bench.pins.put(store, bench.history(kind), _pin(made, by))

    assert [put("program"), put("program")] == [True, False]
    assert [put("person"), put("person"), put("program")] == [True, False, False]
    history = bench.history(kind)
    assert history.pins == {made.name}
    read = bench.pins.read(store, history.objects[pin_name(made.name)])
    assert read is not None
    assert (read.backup, read.reason, read.by) == (made.name, "because", "person")
    assert [bench.pins.remove(store, bench.history(kind), made.name) for _ in range(2)] == [True, False]
    assert bench.names(kind) == _of(made)


def test_a_pin_that_cannot_be_believed_is_a_persons(bench: Bench) -> None:
    kind, store = _kind(bench), bench.stores[_kind(bench)]
    old, other = bench.make(ago=3 * HOUR), bench.make(ago=2 * HOUR)
    bench.make()
    bench.stray(kind, pin_name(old.name), b"who knows")
    bench.pins.put(store, bench.history(kind), _pin(other, "program"))
    path = bench.root / "copy"
    store.get(pin_name(other.name), path)
    bench.pins.remove(store, bench.history(kind), other.name)
    store.put(pin_name(old.name) + "x", path, digests_of(path.read_bytes()))
    assert bench.pins.read(store, bench.history(kind).objects[pin_name(old.name)]) is None
    assert bench.prune()[kind].removed == [other.name]
    assert bench.pins.put(store, bench.history(kind), _pin(old)) is False


def test_a_pin_of_one_store_holds_in_the_other_and_gets_there(both: Bench) -> None:
    old = both.make(ago=3 * HOUR)
    both.make()
    both.pins.put(both.stores["drive"], both.history("drive"), _pin(old))
    assert both.prune("local")["local"].removed == []
    assert pin_name(old.name) in both.names("local")
    read = both.pins.read(both.stores["local"], both.history("local").objects[pin_name(old.name)])
    assert read is not None and read.reason == "because"


# -- clearing up ---------------------------------------------------------------------------------------------


def _unneeded(bench: Bench, kind: str) -> list[str]:
    """Objects of each of our kinds that nothing refers to."""
    name = "loomio_backup_20260101_000000"
    names = [
        f"app-data_{'a' * 32}.tar.zst.age",
        f"app-data-index_{'a' * 32}.ndjson.zst.age",
        f"{name}.config.tar.zst.age",
        f"{name}.dump.zst.age",
        f"{name}.pin.age",
    ]
    for one in names:
        bench.stray(kind, one)
    return names


def _peoples(bench: Bench, kind: str) -> list[str]:
    """Files that are no business of ours, or not clearing's."""
    names = [
        "loomio_backup_20251101_020000.sql.enc",
        "loomio_backup_20251101_020000.sql",
        "before_update_20251101.sql.enc",
        f"keyring_{'a' * 16}.age",
        "RECOVERY.md",
        "holiday.jpg",
        "app-data_mine.tar.zst.age",
        f"my app-data_{'a' * 32}.tar.zst.age",
    ]
    for one in names:
        bench.stray(kind, one)
    return names


def test_what_nothing_needs_goes_after_seven_days_and_a_backup_without_it(bench: Bench) -> None:
    kind = _kind(bench)
    bench.make(ago=HOUR)
    unneeded, peoples = _unneeded(bench, kind), _peoples(bench, kind)
    report = bench.prune()[kind]
    assert report.clearing is not None
    assert [one.name for one in report.clearing.waiting] == sorted(unneeded)
    bench.age_marks(6.9)
    newest = bench.make()
    assert set(unneeded) <= bench.names(kind) and bench.prune()[kind].clearing is not None
    assert set(unneeded) <= bench.names(kind)
    bench.age_marks(0.2)
    report = bench.prune()[kind]
    assert report.clearing is not None
    assert [one.name for one in report.clearing.ripe] == sorted(unneeded)
    assert bench.names(kind) == _of(newest) | set(peoples)
    assert _rows(bench, "marks") == 0


def test_without_a_newer_backup_nothing_is_cleared_up_except_in_need(bench: Bench) -> None:
    """Whatever was on its way when it was marked may still be on its way."""
    kind = _kind(bench)
    bench.make(ago=timedelta(days=30))
    unneeded = _unneeded(bench, kind)
    bench.prune()
    bench.age_marks(20)
    bench.prune()
    assert set(unneeded) <= bench.names(kind)


def test_what_is_needed_again_is_no_longer_watched(bench: Bench) -> None:
    kind = _kind(bench)
    bench.make(ago=HOUR)
    pack = bench.pack()
    bench.prune()
    assert _rows(bench, "marks") == 1
    bench.age_marks(8)
    made = bench.make([pack])
    bench.prune()
    assert _rows(bench, "marks") == 0
    assert _of(made) <= bench.names(kind)


def test_the_guides_files_go_only_when_we_wrote_them(bench: Bench) -> None:
    kind = _kind(bench)
    old = bench.make(ago=3 * HOUR, legacy=True)
    bench.make(legacy=True)
    guides = bench.stray(kind, "loomio_backup_20251101_020000.sql.enc", b"the guide's")
    assert f"{old.name}.sql.enc" in bench.names(kind)
    assert bench.prune()[kind].removed == [old.name]
    assert f"{old.name}.sql.enc" not in bench.names(kind)
    bench.age_marks(30)
    bench.make()
    bench.prune()
    assert guides.name in bench.names(kind)


def test_a_mark_from_the_future_is_made_again(bench: Bench) -> None:
    bench.make(ago=HOUR)
    _unneeded(bench, _kind(bench))
    bench.prune()
    bench.age_marks(-300)
    bench.prune()
    [latest] = bench.catalogue.database.execute("SELECT max(marked_at) FROM marks").fetchone()
    assert latest < (clock.now() + timedelta(minutes=6)).isoformat()


def test_of_two_objects_of_one_name_the_wrong_one_is_cleared_up(google: DriveBench, tmp_path: Path) -> None:
    """They came about while lists did not show the first ones."""
    bench = Bench(tmp_path / "pi", {"drive": google.user_store()})
    google.lab.fault("hide", times=None, seconds=3600, match={"upload": True})
    made = bench.make(ago=HOUR)
    for name in (made.only("database").name, made.manifest_name):
        bench.stray("drive", name, b"something else")
    google.lab.let_lists_catch_up()
    google.lab.clear_faults()
    bench.pins.put(bench.stores["drive"], bench.history("drive"), _pin(made))
    assert len(list(bench.stores["drive"].list())) == 6
    assert bench.prune()["drive"].problem is None
    bench.age_marks(8)
    newest = bench.make()
    bench.prune()
    left = sorted(one.name for one in bench.stores["drive"].list())
    assert left == sorted(_of(made) | _of(newest) | {pin_name(made.name)})
    assert bench.history("drive").damaged == []
    bench.close()


# -- elsewhere -----------------------------------------------------------------------------------------------


def test_append_only_the_pi_deletes_nothing_and_another_machine_prunes(
    google: DriveBench, tmp_path: Path
) -> None:
    """Another machine: the same keys, a manager's credentials, and a catalogue of its own."""
    secret = google.lab.register_service_account()
    manager = google.lab.register_service_account("manager@project.iam.gserviceaccount.com")
    drive_id = google.lab.register_shared_drive(
        "Group", {secret["client_email"]: "writer", manager["client_email"]: "organizer"}
    )
    contributor = google.store(secret, shared_drive_id=drive_id, append_only=True)
    pi = Bench(tmp_path / "pi", {"drive": contributor})
    shared, lost = pi.pack(), pi.pack()
    old, newest = pi.make([shared, lost], ago=300 * HOUR), pi.make([shared], ago=299 * HOUR)
    before = pi.names("drive")
    report = pi.prune()["drive"]
    assert report.note is not None and "append_only" in report.note
    assert (report.removed, report.problem) == ([], None)
    assert pi.names("drive") == before
    assert pi.pins.put(contributor, pi.history("drive"), _pin(old)) is True
    with pytest.raises(StoreAppendOnly):
        pi.pins.remove(contributor, pi.history("drive"), old.name)

    laptop = Bench(tmp_path / "laptop", {"drive": google.store(manager, shared_drive_id=drive_id)}, other=pi)
    assert laptop.prune()["drive"].removed == []
    laptop.pins.remove(laptop.stores["drive"], laptop.history("drive"), old.name)
    assert laptop.prune()["drive"].removed == [old.name]
    # A backup in progress on the Pi may be about to need what no backup needs now.
    assert laptop.names("drive") == _of(newest) | {lost.name}
    laptop.prune()
    laptop.age_marks(8)
    laptop.prune()
    assert lost.name in laptop.names("drive")
    last = pi.make([shared])
    laptop.prune()
    assert laptop.names("drive") == _of(last)
    pi.close()
    laptop.close()


# -- room ----------------------------------------------------------------------------------------------------


def test_drives_trash_makes_no_room(google: DriveBench, tmp_path: Path) -> None:
    """Drive is full, and what is deleted goes to its trash: removing more and more would help nobody."""
    secret = google.lab.register_user(quota=12_000)
    settings = google.settings(deletion="trash")
    bench = Bench(
        tmp_path / "pi", {"drive": google.store(secret, deletion="trash")}, drive=settings, policy=NEWEST
    )
    for hours in (3, 2, 1):
        bench.make(ago=hours * HOUR)
    histories = {"drive": (bench.stores["drive"], bench.history("drive"))}
    report = bench.pruner.make_room("drive", histories, 11_000)
    assert report.problem is not None
    assert "Empty that trash, or set backup.drive.deletion to delete" in report.problem
    assert len(bench.backups("drive")) == 3
    bench.close()


def test_room_in_drive_is_made_by_removing_the_oldest(google: DriveBench, tmp_path: Path) -> None:
    secret = google.lab.register_user(quota=12_000)
    bench = Bench(
        tmp_path / "pi",
        {"drive": google.store(secret)},
        drive=google.settings(),
        policy=NEWEST.model_copy(update={"days": 100}),
    )
    made = [bench.make(ago=hours * HOUR) for hours in (3, 2, 1)]
    free = bench.stores["drive"].space().free
    assert free is not None
    histories = {"drive": (bench.stores["drive"], bench.history("drive"))}
    assert bench.pruner.make_room("drive", histories, free).removed == []
    report = bench.pruner.make_room("drive", histories, free + 1)
    assert (report.removed, report.problem) == ([made[0].name], None)
    assert histories["drive"][1].newest_first()[-1].name == made[1].name
    vain = bench.pruner.make_room("drive", histories, 13_000)
    assert vain.removed == []
    assert vain.problem is not None and "none was removed for it" in vain.problem
    bench.close()


def _limit(bench: Bench, limit: int) -> None:
    """Keep everything, within so many bytes."""
    policy = NEWEST.model_copy(update={"days": 100, "space_limit_bytes": limit})
    found = bench.config.stores
    assert found.local is not None and found.drive is not None
    local = found.local.model_copy(update={"retention": policy})
    drive = found.drive.model_copy(update={"retention": policy})
    stores = found.model_copy(update={"local": local, "drive": drive})
    bench.pruner = Pruner(
        bench.config.model_copy(update={"stores": stores}),
        bench.credentials,
        bench.state,
        bench.catalogue,
        bench.reader,
        bench.said.append,
    )


def test_a_space_limit_holds_whatever_the_rest_says(bench: Bench) -> None:
    kind = _kind(bench)
    made = [bench.make(ago=hours * HOUR, sizes=50_000) for hours in (3, 2, 1)]
    _limit(bench, 250_000)
    bench.stray(kind, "holiday.jpg", b"x" * 1_000_000)
    dry = bench.prune(dry_run=True)[kind]
    assert [one.name for one in dry.in_need] == [made[0].name]
    report = bench.prune()[kind]
    assert (report.removed, report.problem) == ([made[0].name], None)
    assert report.in_need[0].reason == "to make room: it is the oldest of those that are left"
    assert bench.prune()[kind].removed == []


def test_what_is_only_watched_costs_no_more_backups(google: DriveBench, tmp_path: Path) -> None:
    """On another machine packs stay for days after their last backup; the limit is not theirs to exceed."""
    store = google.user_store()
    pi = Bench(tmp_path / "pi", {"drive": store})
    made = [pi.make([pi.pack(size=60_000)], ago=hours * HOUR) for hours in (4, 3, 2, 1)]
    laptop = Bench(tmp_path / "laptop", {"drive": store}, other=pi)
    _limit(laptop, 200_000)
    assert laptop.prune()["drive"].removed == [made[0].name]
    assert len(laptop.names("drive")) == 3 * 4 + 1
    assert laptop.prune()["drive"].removed == []
    pi.close()
    laptop.close()
