"""A backup on its way into a second store: what is worth most first, the manifest last, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from loomio_backup.backup.replication import Replication
from loomio_backup.backup.sending import Sender
from loomio_backup.backup.sources import NotToBeHad, Sources
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader, remember
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.errors import StoreError
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_backups import Shelf, shelf

PACKS = [f"app-data_{number}" for number in range(6)]


@dataclass
class Scene:
    """A backup that is in the local store only, and the means to bring it elsewhere."""

    shelf: Shelf
    drive: LabDrive
    catalogue: Catalogue
    state: StateDirectory
    backup: Manifest

    def replication(self, parallel: int = 1) -> Replication:
        sources = Sources(self.shelf.stores, self.catalogue, self.state.spool)
        return Replication(Sender(self.shelf.config, self.catalogue), sources, self.catalogue, parallel)

    def learn(self) -> None:
        """As at the start of a run."""
        reader = Reader(self.shelf.config, self.shelf.credentials, self.state, self.catalogue)
        for store in self.shelf.stores.values():
            remember(self.catalogue, store, reader.read(store))

    def names(self, kind: str) -> set[str]:
        return {stored.name for stored in self.shelf.stores[kind].list()}

    def sent(self) -> list[str]:
        """Names in the order in which their uploads began."""
        found = [line["name"] for line in self.drive.log() if line["operation"] == "upload.start"]
        return list(dict.fromkeys(found))

    def store(self, kind: str) -> Store:
        return self.shelf.stores[kind]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        made = shelf(tmp_path, emulator)
        local = made.config.stores.model_copy(update={"drive": None})
        both, made.config = made.config, made.config.model_copy(update={"stores": local})
        for name in PACKS:
            made.share(name, name.encode() * 1000)
        made.share("app-data-index_1", b"index", "index")
        backup = made.backup()
        made.config = both
        with made.catalogue() as catalogue:
            state = StateDirectory(made.config.state_directory)
            found = Scene(made, LabDrive(emulator.url), catalogue, state, backup)
            found.learn()
            yield found


def test_the_database_comes_first_and_the_manifest_last(scene: Scene) -> None:
    scene.replication().copy(scene.backup, scene.store("drive"))
    name = scene.backup.name
    sent = scene.sent()
    assert set(sent[:2]) == {f"{name}.dump.zst.age", f"{name}.sql.enc"}
    assert sent[2] == f"{name}.config.tar.zst.age"
    assert sorted(sent[3:9]) == PACKS
    assert sent[9:] == ["app-data-index_1", f"{name}.manifest.age"]
    assert scene.names("drive") == scene.names("local")
    # Everything is there, and confirmed by id: nothing is sent a second time.
    scene.drive.clear_log()
    scene.replication().copy(scene.backup, scene.store("drive"))
    assert [name for name in scene.sent() if not name.endswith(".manifest.age")] == []


def test_packs_travel_side_by_side(scene: Scene) -> None:
    scene.drive.fault("latency", times=None, seconds=0.3, match={"operation": "upload.chunk"})
    scene.replication(parallel=3).copy(scene.backup, scene.store("drive"))
    chunks = [line for line in scene.drive.log() if line["operation"] == "upload.chunk"]
    packs = [line for line in chunks if line["name"] in PACKS]
    began = [datetime.fromisoformat(line["time"]).timestamp() for line in packs]
    ended = [start + line["seconds"] for start, line in zip(began, packs, strict=True)]
    assert len(packs) == len(PACKS)
    assert max(ended) - min(began) < 0.7 * sum(line["seconds"] for line in packs)
    assert scene.names("drive") == scene.names("local")


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_manifest_without_every_object(scene: Scene, parallel: int) -> None:
    scene.drive.fault(
        "status", times=None, status=403, reason="storageQuotaExceeded", match={"name": PACKS[3]}
    )
    with pytest.raises(StoreError):
        scene.replication(parallel).copy(scene.backup, scene.store("drive"))
    assert not [name for name in scene.names("drive") if name.endswith(".manifest.age")]
    scene.drive.clear_faults()
    before = scene.names("drive")
    scene.drive.clear_log()
    scene.replication(parallel).copy(scene.backup, scene.store("drive"))
    assert before.isdisjoint(scene.sent())
    assert scene.names("drive") == scene.names("local")


def test_what_is_confirmed_and_gone_is_noticed_before_the_manifest(scene: Scene) -> None:
    """Deleted by somebody since it was listed: only asking by id tells."""
    target = scene.store("drive")
    scene.replication().complete(scene.backup, target)
    stored = target.stat(PACKS[2])
    assert stored is not None
    target.delete(stored)
    scene.drive.clear_log()
    scene.replication().copy(scene.backup, target)
    assert PACKS[2] in scene.sent()
    assert scene.names("drive") == scene.names("local")


def test_a_damaged_source_is_not_copied_and_not_relied_on_again(scene: Scene) -> None:
    path = scene.shelf.disk / PACKS[1]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(NotToBeHad, match=rf"{PACKS[1]}.*no other store holds it whole"):
        scene.replication().copy(scene.backup, scene.store("drive"))
    assert scene.catalogue.usable_packs(["local", "drive"]) == set(PACKS) - {PACKS[1]}
    # Its size is right, so no list says that it is damaged; we know.
    scene.learn()
    assert scene.catalogue.usable_packs(["local"]) == set(PACKS) - {PACKS[1]}
    path.write_bytes(content[:-1])
    scene.learn()
    assert PACKS[1] in scene.catalogue.damaged_in("local")
    path.unlink()
    scene.learn()
    assert scene.catalogue.damaged_in("local") == {}


def test_from_drive_back_into_an_empty_folder(scene: Scene) -> None:
    scene.replication().copy(scene.backup, scene.store("drive"))
    for path in scene.shelf.disk.iterdir():
        path.unlink()
    scene.learn()
    scene.replication(parallel=2).copy(scene.backup, scene.store("local"))
    assert scene.names("local") == scene.names("drive")
    assert list(scene.state.spool.iterdir()) == []


def test_an_upload_that_was_begun_goes_on_under_its_id(scene: Scene) -> None:
    reserved = scene.store("drive").reserve_id()
    scene.catalogue.sending("drive", PACKS[0], reserved)
    scene.replication().copy(scene.backup, scene.store("drive"))
    assert scene.catalogue.stored_in("drive")[PACKS[0]] == reserved


def test_a_lost_catalogue_learns_what_is_there_and_nothing_else(scene: Scene) -> None:
    scene.replication().copy(scene.backup, scene.store("drive"))
    (scene.shelf.disk / "a file of somebody's").write_text("not ours")
    scene.catalogue.database.execute("DELETE FROM stored")
    scene.learn()
    assert set(scene.catalogue.stored_in("local")) == scene.names("local") - {"a file of somebody's"}
    assert all(scene.catalogue.stored_in("drive").values())
