"""What a run that died left behind: a backup if its manifest arrived, else nothing but packs of use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loomio_backup.backup.attempt import Attempts
from loomio_backup.backup.publication import Publication
from loomio_backup.backup.sending import Sender
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.catalogue.manifest import Manifest, ObjectEntry, ObjectKind
from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.config import DriveStore
from loomio_backup.credentials import Credentials
from loomio_backup.errors import BackupError
from loomio_backup.retention.leftovers import Leftovers
from loomio_backup.state import StateDirectory
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_backups import Shelf, shelf

NAME = "loomio_backup_20261123_060000"


@dataclass
class Scene:
    """A Pi with both stores, in the middle of a backup."""

    shelf: Shelf
    drive: LabDrive
    catalogue: Catalogue
    state: StateDirectory
    attempts: Attempts

    def write(self, name: str, kind: ObjectKind, content: bytes = b"content") -> ObjectEntry:
        """An object in the spool, written down."""
        path = self.state.spool / name
        path.write_bytes(content)
        entry = ObjectEntry.of(name, kind, as_it_is(path), [])
        self.attempts.wrote(entry)
        return entry

    def send(self, name: str, *kinds: str) -> None:
        """On its way into these stores, and there."""
        path = self.state.spool / name
        sender = Sender(self.shelf.config, self.catalogue)
        for kind in kinds:
            sender.send(self.shelf.stores[kind], name, path, as_it_is(path))
        path.unlink()

    def end(self, **without: str) -> Publication:
        """The next run begins; stores can be left out."""
        stores = {kind: store for kind, store in self.shelf.stores.items() if kind not in without}
        publication = Publication(stores, Sender(self.shelf.config, self.catalogue))
        Leftovers(publication, self.catalogue, self.state).end()
        return publication

    def in_stores(self) -> dict[str, list[str]]:
        return {
            kind: sorted(found.name for found in store.list()) for kind, store in self.shelf.stores.items()
        }


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        made = shelf(tmp_path, emulator)
        with made.catalogue() as catalogue:
            state = StateDirectory(made.config.state_directory)
            attempts = Attempts(catalogue)
            attempts.begin(NAME)
            yield Scene(made, LabDrive(emulator.url), catalogue, state, attempts)


def test_objects_without_a_manifest_go_from_every_store(scene: Scene) -> None:
    for name, kind in (("x.dump.zst.age", "database"), ("x.config.tar.zst.age", "config")):
        scene.write(name, kind)  # type: ignore[arg-type]
        scene.send(name, "local", "drive")
    scene.write("app-data_1", "pack")
    scene.send("app-data_1", "local")
    scene.end()
    assert scene.in_stores() == {"local": ["app-data_1"], "drive": []}
    assert scene.attempts.unfinished() == []
    assert scene.attempts.leftovers() == []
    assert scene.attempts.waiting() == ["app-data_1"]
    assert scene.catalogue.entry("x.dump.zst.age") is None
    # The next backup does not need the pack either.
    scene.attempts.begin(NAME + "1")
    scene.attempts.finished(set())
    scene.end()
    assert scene.in_stores() == {"local": [], "drive": []}
    assert scene.attempts.leftovers() == []


def test_a_store_that_is_away_is_cleared_when_it_is_back(scene: Scene) -> None:
    scene.write("x.dump.zst.age", "database")
    scene.send("x.dump.zst.age", "local", "drive")
    scene.end(drive="away")
    assert scene.in_stores() == {"local": [], "drive": ["x.dump.zst.age"]}
    assert scene.attempts.leftovers() == ["x.dump.zst.age"]
    scene.end()
    assert scene.in_stores() == {"local": [], "drive": []}
    assert scene.attempts.leftovers() == []


def test_where_nothing_may_be_deleted_it_stays(scene: Scene) -> None:
    scene.write("x.dump.zst.age", "database")
    scene.send("x.dump.zst.age", "drive")
    stores = scene.shelf.config.stores
    assert stores.drive is not None
    drive: DriveStore = stores.drive.model_copy(update={"append_only": True})
    scene.shelf.config = scene.shelf.config.model_copy(
        update={"stores": stores.model_copy(update={"drive": drive})}
    )
    assert scene.end().failed == {}
    assert scene.in_stores()["drive"] == ["x.dump.zst.age"]
    assert scene.attempts.leftovers() == []


def test_a_role_that_may_only_store_costs_no_backup(scene: Scene) -> None:
    scene.write("x.dump.zst.age", "database")
    scene.send("x.dump.zst.age", "drive")
    for operation in ("files.delete", "files.update"):
        match = {"operation": operation}
        scene.drive.fault("status", times=None, status=403, reason="insufficientFilePermissions", match=match)
    assert scene.end().failed == {}
    assert scene.attempts.leftovers() == ["x.dump.zst.age"]
    scene.drive.clear_faults()
    scene.end()
    assert scene.in_stores()["drive"] == []


def _publish(
    scene: Scene, kind: str, confirmed: bool, shared: list[ObjectEntry] | None = None, pin: str | None = None
) -> Manifest:
    """A backup whose run died when its manifest was in the store, and nobody had written down more; it needs
    these objects of others, too.
    """
    made = scene.shelf.backup(only=[kind])
    made = made.model_copy(update={"objects": [*made.objects, *(shared or [])]})
    scene.attempts.begin(made.name)
    for entry in made.objects:
        if entry not in (shared or []):
            scene.attempts.wrote(entry)
            scene.catalogue.sending(kind, entry.name, None)
    store = scene.shelf.stores[kind]
    stored = store.stat(made.manifest_name)
    assert stored is not None
    fetched = scene.shelf.root / "fetched"
    store.get(stored, fetched)
    scene.attempts.sealed(as_it_is(fetched), made, pin)
    scene.catalogue.sending(kind, made.manifest_name, stored.id)
    if confirmed:
        scene.catalogue.add_stored(kind, stored)
    return made


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("kind", ["local", "drive"])
def test_a_manifest_that_arrived_makes_a_backup(scene: Scene, kind: str, confirmed: bool) -> None:
    made = _publish(scene, kind, confirmed)
    before = scene.in_stores()
    scene.end()
    assert scene.in_stores() == before
    assert scene.attempts.unfinished() == []
    config = scene.shelf.config
    reader = Reader(config, Credentials(config.credentials_directory), scene.state, scene.catalogue)
    history = reader.read(scene.shelf.stores[kind])
    assert [summary.name for summary in history.backups] == [made.name]


def test_nothing_is_decided_while_the_store_of_the_manifest_is_away(scene: Scene) -> None:
    made = _publish(scene, "drive", confirmed=False)
    before = scene.in_stores()
    scene.end(drive="away")
    assert scene.in_stores() == before
    assert [attempt.backup for attempt in scene.attempts.unfinished()] == [made.name]
    scene.end()
    assert scene.in_stores() == before
    assert scene.attempts.unfinished() == []


@pytest.mark.parametrize("away", [False, True])
def test_what_an_adopted_backup_needs_is_never_left_over(scene: Scene, away: bool) -> None:
    """A pack of a run that failed was used by the next one, whose manifest arrived unseen."""
    pack = scene.write("app-data_1", "pack")
    scene.send(pack.name, "drive")
    scene.end()
    assert scene.attempts.waiting() == [pack.name]
    made = _publish(scene, "drive", confirmed=False, shared=[pack])
    if away:
        # A later backup, without that pack, comes to its end before anybody can tell.
        scene.end(drive="away")
        scene.attempts.begin(NAME + "9")
        scene.attempts.finished(set())
        assert scene.attempts.leftovers() == []
    scene.end()
    assert scene.attempts.waiting() == []
    scene.attempts.begin(NAME + "99")
    scene.attempts.finished({"another"})
    scene.end()
    assert {entry.name for entry in made.objects} <= set(scene.in_stores()["drive"])


def test_what_a_known_backup_needs_is_not_removed_whatever_was_written_down(scene: Scene) -> None:
    pack = scene.write("app-data_1", "pack")
    scene.send(pack.name, "local")
    made = scene.shelf.backup(only=["local"])
    needing = made.model_copy(update={"objects": [*made.objects, pack]})
    scene.catalogue.add_manifest(needing, "sha256", "md5")
    scene.end()
    scene.attempts.begin(NAME + "9")
    scene.attempts.finished(set())
    assert scene.attempts.leftovers() == [pack.name]
    scene.end()
    assert pack.name in scene.in_stores()["local"]
    assert scene.attempts.leftovers() == []


def test_the_wish_to_pin_outlives_the_run(scene: Scene) -> None:
    made = _publish(scene, "local", confirmed=True, pin="labelled before-update")
    scene.end()
    assert scene.attempts.pins_due() == [[made.name, "labelled before-update"]]


def test_a_manifest_that_an_older_catalogue_never_sent_makes_a_backup_as_well(scene: Scene) -> None:
    made = scene.shelf.backup(only=["local"])
    scene.attempts.begin(made.name)
    for entry in made.objects:
        scene.attempts.wrote(entry)
    before = scene.in_stores()
    scene.end()
    assert scene.in_stores() == before
    assert scene.attempts.leftovers() == []


def test_an_undecided_backup_keeps_its_number(scene: Scene) -> None:
    made = _publish(scene, "drive", confirmed=False)
    scene.end(drive="away")
    assert scene.attempts.last_sequence(made.generation) == made.sequence
    assert scene.attempts.last_sequence(made.generation + 1) == 0


def test_a_complete_pack_in_the_spool_reaches_its_store(scene: Scene) -> None:
    entry = scene.write("app-data_1", "pack", b"whole")
    (scene.state.spool / "app-data_2").write_bytes(b"nobody wrote down that it is finished")
    scene.write("app-data_3", "pack", b"whole")
    (scene.state.spool / "app-data_3").write_bytes(b"torn")
    (scene.state.spool / "helper").mkdir()
    scene.catalogue.sending("local", entry.name, None)
    scene.end()
    assert scene.in_stores() == {"local": ["app-data_1"], "drive": []}
    assert list(scene.state.spool.iterdir()) == []
    assert scene.catalogue.usable_packs(["local"]) == {"app-data_1"}


def test_a_pack_that_arrived_unseen_is_usable(scene: Scene) -> None:
    """Drive had it, and we were dead before its answer came."""
    entry = scene.write("app-data_1", "pack")
    drive = scene.shelf.stores["drive"]
    object_id = drive.reserve_id()
    scene.catalogue.sending("drive", entry.name, object_id)
    drive.put(entry.name, scene.state.spool / entry.name, entry.digests, object_id=object_id)
    (scene.state.spool / entry.name).unlink()
    scene.drive.clear_log()
    scene.end()
    assert scene.catalogue.usable_packs(["drive"]) == {"app-data_1"}
    assert not [line for line in scene.drive.log() if line["operation"].startswith("upload")]


def test_a_pack_that_the_next_backup_needs_is_no_leftover(scene: Scene) -> None:
    scene.write("app-data_1", "pack")
    scene.send("app-data_1", "local")
    scene.write("app-data_2", "pack")
    scene.send("app-data_2", "local")
    scene.end()
    scene.attempts.begin(NAME + "1")
    scene.attempts.finished({"app-data_1"})
    assert scene.attempts.leftovers() == ["app-data_2"]
    scene.end()
    assert scene.in_stores()["local"] == ["app-data_1"]


def test_an_interrupted_copy_that_nobody_wants_any_more_goes(scene: Scene) -> None:
    made = scene.shelf.backup(only=["local"])
    scene.catalogue.add_manifest(made, "sha256", "md5")
    scene.attempts.copying("drive", made.name)
    dump = made.only("database")
    (scene.state.spool / dump.name).write_bytes((scene.shelf.disk / dump.name).read_bytes())
    scene.send(dump.name, "drive")
    publication = Publication(scene.shelf.stores, Sender(scene.shelf.config, scene.catalogue))
    Leftovers(publication, scene.catalogue, scene.state).remove_copies()
    assert scene.in_stores()["drive"] == []
    assert dump.name in scene.in_stores()["local"]
    assert scene.attempts.copies() == set()


def test_a_finished_copy_stays(scene: Scene) -> None:
    made = scene.shelf.backup()
    scene.catalogue.add_manifest(made, "sha256", "md5")
    scene.attempts.copying("drive", made.name)
    before = scene.in_stores()
    publication = Publication(scene.shelf.stores, Sender(scene.shelf.config, scene.catalogue))
    Leftovers(publication, scene.catalogue, scene.state).remove_copies()
    assert scene.in_stores() == before
    assert scene.attempts.copies() == set()


def test_without_any_store_the_run_ends(scene: Scene) -> None:
    scene.write("x.dump.zst.age", "database")
    scene.send("x.dump.zst.age", "drive")
    scene.drive.fault("invalid-grant", times=None)
    with pytest.raises(BackupError, match="not stored anywhere"):
        scene.end(local="not configured")
