"""`loomio-pi prune`: in a shared drive where the Pi may only add, a manager removes from elsewhere."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploys.console.agent_here import LentCredentials, Operator
from inventories.new_secrets import new_text
from inventories.secrets import checked
from inventories.settings import Settings
from inventories.validation import validated
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader, remember
from loomio_backup.config import Config, Stores
from loomio_backup.errors import RetentionError, StoreAppendOnly
from loomio_backup.retention import pinning
from loomio_backup.state import StateDirectory
from loomio_backup.stores.drive import DriveFolder
from tests.lab.drive import DriveEmulator, LabDrive
from tests.unit import operator_desk
from tests.unit.operator_desk import SETTINGS, Desk
from tests.unit.pull_bench import PiBackups
from tests.unit.stores_bench import DriveBench

TEXT = new_text(["loomio"])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


class Room:
    """A shared drive, the Pi's account (a contributor), a manager's account, and a desk that knows both."""

    def __init__(self, tmp_path: Path, bench: DriveBench) -> None:
        self.pi_secret = bench.lab.register_service_account("pi@project.iam.gserviceaccount.com")
        manager = bench.lab.register_service_account("manager@project.iam.gserviceaccount.com")
        roles = {self.pi_secret["client_email"]: "writer", manager["client_email"]: "organizer"}
        drive_id = bench.lab.register_shared_drive("Backups", roles)
        self.store: DriveFolder = bench.store(self.pi_secret, shared_drive_id=drive_id, append_only=True)
        self.desk = Desk(tmp_path / "desk", {"XDG_STATE_HOME": str(tmp_path / "state")})
        self.desk.folder.mkdir()
        url = bench.emulator.url
        self.settings = (
            f"{SETTINGS}backup:\n  drive:\n    api_root: {url}\n    token_uri: {url}token\n"
            f"    shared_drive_id: {drive_id}\n    append_only: true\n"
            "    retention: {hourly: 0, daily: 1, weekly: 0, monthly: 0, yearly: 0}\n"
        )
        self.write(self.pi_secret, manager)

    def write(self, credentials: Any, manager: Any) -> None:
        text = TEXT.replace("  credentials:\n", f"  credentials: {json.dumps(credentials)}\n", 1)
        if manager:
            text = text.replace("manager_credentials:\n", f"manager_credentials: {json.dumps(manager)}\n", 1)
        self.desk.prepare(operator_desk.encrypted(text))
        (self.desk.folder / "pi.yml").write_text(self.settings)

    def names(self) -> set[str]:
        return {stored.name for stored in self.store.list()}


def agent(room: Room, tmp_path: Path) -> tuple[Config, LentCredentials]:
    """What the agent on the Pi works with."""
    settings = validated(Settings, room.settings, "x")
    text = TEXT.replace("  credentials:\n", f"  credentials: {json.dumps(room.pi_secret)}\n", 1)
    operator = Operator("loomio", settings, checked(text, "x"))
    config = operator.config(Stores(drive=operator.on_the_pi().stores.drive), tmp_path / "pi state")
    return config, operator.credentials()


@contextmanager
def on_the_pi(room: Room, tmp_path: Path) -> Iterator[tuple[Reader, Catalogue]]:
    config, credentials = agent(room, tmp_path)
    state = StateDirectory(config.state_directory)
    with Catalogue(state.catalogue) as catalogue:
        yield Reader(config, credentials, state, catalogue), catalogue


@pytest.fixture
def room(tmp_path: Path, bench: DriveBench) -> Room:
    return Room(tmp_path, bench)


def test_a_manager_removes_what_the_pi_may_not(room: Room, tmp_path: Path) -> None:
    pi = PiBackups(tmp_path / "pi", TEXT)
    for number in range(3):
        pi.make([f"app-data_{number // 2}"], hours_ago=3 - number)
    pi.send_to(room.store)
    with pytest.raises(StoreAppendOnly):
        room.store.delete(next(iter(room.store.list())))

    before = room.names()
    done = room.desk.type("loomio-pi", "prune", "--dry-run")
    assert (done.code, done.stderr) == (0, "")
    assert f"{pi.made[0].name}: " in done.stdout
    assert room.names() == before

    with on_the_pi(room, tmp_path) as (reader, catalogue):
        remember(catalogue, room.store, reader.read(room.store))
    done = room.desk.type("loomio-pi", "prune")
    assert (done.code, done.stderr) == (0, ""), done
    left = {name for name in room.names() if name.endswith(".manifest.age")}
    assert left < {one.manifest_name for one in pi.made}
    assert pi.made[-1].manifest_name in left
    assert (tmp_path / "state" / "loomio-pi" / "loomio").is_dir()
    # The Pi does not take it for an accident.
    with on_the_pi(room, tmp_path) as (reader, catalogue):
        history = reader.read(room.store)
        assert {one.name + ".manifest.age" for one in history.backups} == left
        assert history.missing == []
        assert history.gone
    # What this machine remembers holds no key that opens backups.
    identity = TEXT.split("identity: ")[1].split()[0]
    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or identity.encode() not in path.read_bytes()


def test_a_pin_is_removed_from_here(room: Room, tmp_path: Path) -> None:
    pi = PiBackups(tmp_path / "pi", TEXT)
    backup = pi.make().name
    pi.send_to(room.store)
    config, credentials = agent(room, tmp_path)
    assert pinning.pin(config, credentials, backup, "before the update") == 0
    assert f"{backup}.pin.age" in room.names()
    with pytest.raises(RetentionError, match=f"type: loomio-pi prune --unpin {backup}"):
        pinning.unpin(config, credentials, backup)
    done = room.desk.type("loomio-pi", "prune", "--unpin", backup)
    assert (done.code, done.stderr) == (0, "")
    assert room.names() == pi.names()


def test_without_a_manager_or_append_only_it_says_what_to_do(room: Room) -> None:
    room.write(room.pi_secret, None)
    done = room.desk.type("loomio-pi", "prune")
    assert done.code == 1
    assert "drive.manager_credentials is missing in the secrets" in done.stderr
    assert "Nothing was done. Put it in with: loomio-pi secrets edit" in done.stderr
    room.settings = room.settings.replace("append_only: true", "append_only: false")
    room.write(room.pi_secret, None)
    done = room.desk.type("loomio-pi", "prune")
    assert done.stderr.startswith("loomio-pi: The Pi prunes by itself: backup.drive.append_only is not on")


def test_a_manager_who_is_none_is_told_so(room: Room, tmp_path: Path) -> None:
    pi = PiBackups(tmp_path / "pi", TEXT)
    for number in range(3):
        pi.make(hours_ago=3 - number)
    pi.send_to(room.store)
    room.write(room.pi_secret, room.pi_secret)
    before = room.names()
    done = room.desk.type("loomio-pi", "prune")
    assert done.code == 1
    assert "Manager" in done.stderr
    assert room.names() == before
