"""What a store holds, although its lists lag behind and may show one name twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader, remember
from loomio_backup.catalogue.manifest import MOST_BYTES, SUFFIX
from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_backups import Shelf, shelf


@dataclass
class Scene:
    """A Pi with both stores."""

    shelf: Shelf
    drive: LabDrive
    catalogue: Catalogue

    def store(self, kind: str = "drive") -> Store:
        return self.shelf.stores[kind]

    def read(self, kind: str = "drive") -> History:
        state = StateDirectory(self.shelf.config.state_directory)
        reader = Reader(self.shelf.config, self.shelf.credentials, state, self.catalogue)
        return reader.read(self.store(kind))

    def let_others_prune(self) -> None:
        """Have this Pi never delete in Drive."""
        drive = self.shelf.config.stores.drive
        assert drive is not None
        stores = self.shelf.config.stores.model_copy(
            update={"drive": drive.model_copy(update={"append_only": True})}
        )
        self.shelf.config = self.shelf.config.model_copy(update={"stores": stores})

    def learn(self, kind: str = "drive") -> History:
        history = self.read(kind)
        remember(self.catalogue, self.store(kind), history)
        return history


def _delete(scene: Scene, *names: str) -> None:
    for name in names:
        stored = scene.store().stat(name)
        assert stored is not None
        scene.store().delete(stored)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        made = shelf(tmp_path, emulator)
        with made.catalogue() as catalogue:
            yield Scene(made, LabDrive(emulator.url), catalogue)


def test_what_the_list_does_not_show_yet_is_found_by_its_id(scene: Scene) -> None:
    scene.drive.fault("hide", times=None, seconds=3600, match={"upload": True})
    made = scene.shelf.backup()
    assert scene.read().backups == []
    for file in scene.drive.files():
        if "md5" in file:
            scene.catalogue.sending("drive", file["name"], file["id"])
            stored = scene.store().stat(file["name"], file["id"])
            assert stored is not None
            scene.catalogue.add_stored("drive", stored)
    history = scene.read()
    assert [summary.name for summary in history.backups] == [made.name]
    assert {entry.name for entry in made.objects} < set(history.objects)
    assert (history.missing, history.gone) == ([], [])


def test_what_is_gone_is_told_apart_from_what_was_removed(scene: Scene) -> None:
    first, second, third = (scene.shelf.backup() for _ in range(3))
    scene.learn()
    for name in (first.manifest_name, second.manifest_name, third.only("database").name):
        stored = scene.store().stat(name)
        assert stored is not None
        scene.store().delete(stored)
    scene.catalogue.database.execute(
        "INSERT INTO removals VALUES ('drive', ?, 1, 1, '2026-11-23T00:00:00+00:00', 'old', 1)", (first.name,)
    )
    history = scene.learn()
    assert history.missing == [second.manifest_name]
    assert sorted(history.gone) == sorted([first.manifest_name, third.only("database").name])
    # What is missing stays so; the rest is forgotten.
    again = scene.learn()
    assert (again.missing, again.gone) == ([second.manifest_name], [])


def test_of_two_objects_of_a_name_the_right_one_counts(scene: Scene) -> None:
    """Another machine puts the same names while its lists do not show ours."""
    scene.drive.fault("hide", times=None, seconds=3600, match={"upload": True})
    strange = scene.shelf.root / "strange"
    strange.write_bytes(b"something else")
    size = strange.stat().st_size
    made = scene.shelf.backup()
    names = [made.only("database").name, made.manifest_name]
    for name in names:
        scene.store().put(name, strange, as_it_is(strange))
    scene.drive.let_lists_catch_up()
    history = scene.learn()
    assert [summary.name for summary in history.backups] == [made.name]
    assert [history.objects[name].size != size for name in names] == [True, True]
    assert sorted(stored.name for stored in history.duplicates) == sorted(names)
    assert {stored.size for stored in history.duplicates} == {size}
    assert history.damaged == []
    # Once known, each is found again without a look into it.
    scene.drive.clear_log()
    assert scene.read().objects == history.objects
    assert not [line for line in scene.drive.log() if line["operation"] == "download"]


@pytest.mark.parametrize("kind", ["local", "drive"])
def test_what_only_has_a_manifests_name_is_never_fetched(scene: Scene, kind: str) -> None:
    """Whoever takes over the Google account must not be able to fill the Pi's temporary files."""
    name = f"loomio_backup_20260101_000000_000000{SUFFIX}"
    huge = scene.shelf.root / name
    with huge.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    made = scene.shelf.backup()
    scene.shelf.stores[kind].put(name, huge, as_it_is(huge))
    scene.drive.clear_log()
    history = scene.read(kind)
    assert [summary.name for summary in history.backups] == [made.name]
    assert history.damaged == [
        (name, f"{name} has {MOST_BYTES + 1} bytes: no manifest is that large. Use another backup.")
    ]
    assert name not in [line["name"] for line in scene.drive.log() if line["operation"] == "download"]


def test_pins_are_seen(scene: Scene) -> None:
    made = scene.shelf.backup()
    (scene.shelf.disk / f"{made.name}.pin.age").write_bytes(b"whatever it says: that it is there counts")
    assert scene.read("local").pins == {made.name}
    assert scene.read("drive").pins == set()


def test_a_list_that_still_shows_what_is_gone_is_not_believed(scene: Scene) -> None:
    """The catalogue was lost, and somebody has just deleted a backup."""
    made = scene.shelf.backup()
    history = scene.read()
    for name in (made.manifest_name, made.only("database").name):
        scene.store().delete(history.objects[name])
    remember(scene.catalogue, scene.store(), history)
    assert history.backups == []
    assert made.only("database").name not in scene.catalogue.stored_in("drive")
    assert made.only("config").name in scene.catalogue.stored_in("drive")


def test_where_others_prune_only_the_newest_is_missed(scene: Scene) -> None:
    """Retention elsewhere takes old backups, and never all that is newest."""
    first, second, third, fourth = (scene.shelf.backup() for _ in range(4))
    scene.learn()
    _delete(scene, first.manifest_name)
    _delete(scene, fourth.manifest_name, third.manifest_name)
    scene.let_others_prune()
    history = scene.learn()
    assert sorted(history.missing) == sorted([third.manifest_name, fourth.manifest_name])
    assert history.gone == [first.manifest_name]
    # It stays so, until a person lets go of them or a newer one is there.
    assert len(scene.learn().missing) == 2
    assert [summary.name for summary in scene.learn().backups] == [second.name]
    scene.shelf.backup()
    assert scene.learn().missing == []
