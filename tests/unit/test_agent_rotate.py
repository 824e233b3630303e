"""`rotate-key`: the keyring is in every store and opens, what it replaces goes, and nothing is ever lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import ObjectEntry, seal
from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.config import Config, DriveStore, LocalStore, Stores
from loomio_backup.credentials import Credentials
from loomio_backup.encryption import crypto, keyring, rotate
from loomio_backup.encryption.keys import Keys
from loomio_backup.encryption.rotate import replaced, report
from loomio_backup.errors import AgentError, KeyringError
from loomio_backup.state import StateDirectory
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_samples import manifest, object_entry

FIRST, SECOND, THIRD = (crypto.generate_identity() for _ in range(3))
SIGNING, PUBLIC = crypto.generate_signing_key()


def _print(identity: str) -> str:
    return crypto.fingerprint(crypto.recipient_of(identity))


def _both(*names: str) -> dict[str, list[str]]:
    """These keyrings in both stores."""
    return {kind: sorted(names) for kind in ("local", "drive")}


@dataclass
class Desk:
    """A Pi with a local store and Drive, whose keys change."""

    root: Path
    emulator: DriveEmulator
    config: Config
    append_only: bool = False

    def rotate(self, *identities: str, ring: list[str], on_the_pi: bool = True) -> None:
        """What the setup deploy brings after a change of the key to the first of `identities`."""
        recipients = [crypto.recipient_of(identities[0])]
        assert self.config.stores.drive is not None
        drive = self.config.stores.drive.model_copy(update={"append_only": self.append_only})
        stores = self.config.stores.model_copy(update={"drive": drive})
        self.config = self.config.model_copy(update={"recipients": recipients, "stores": stores})
        (self.root / "identity").write_text("\n".join(identities) + "\n" if on_the_pi else "")
        data = keyring.make(ring, recipients) if ring else ""
        (self.root / "keyring.age").write_text(data)

    def run(self, repack: bool = False) -> None:
        rotate.run(self.config, Credentials(self.root), repack)

    def names(self) -> dict[str, list[str]]:
        """The keyrings in each store."""
        return {
            kind: sorted(stored.name for stored in store.list() if keyring.is_keyring(stored.name))
            for kind, store in open_stores(self.config, Credentials(self.root)).items()
        }

    def present(self) -> str:
        return keyring.object_name((self.root / "keyring.age").read_bytes())

    def store_backup(self, identity: str, name: str, store: str) -> None:
        """A backup with one object, encrypted for this identity, in one store."""
        entry = object_entry("x", "database", key_fingerprints=[_print(identity)])
        made = manifest(name=name, objects=[entry])
        path = self.root / made.manifest_name
        digests = seal(made, SIGNING, [crypto.recipient_of(identity)], path)
        open_stores(self.config, Credentials(self.root))[store].put(path.name, path, digests)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        lab = LabDrive(emulator.url)
        import json

        (tmp_path / "drive.json").write_text(json.dumps(lab.register_user()))
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri)
        config = Config(
            host="pi",
            stores=Stores(local=LocalStore(path=tmp_path / "disk"), drive=drive),
            recipients=[crypto.recipient_of(FIRST)],
            signing_public_key=PUBLIC,
            state_directory=tmp_path / "state",
            credentials_directory=tmp_path,
        )
        made = Desk(tmp_path, emulator, config)
        made.rotate(FIRST, ring=[])
        yield made


def test_the_keyring_reaches_every_store_and_replaces_the_one_before(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.store_backup(FIRST, "loomio_backup_20261101_000000", "drive")
    desk.run()
    assert desk.names() == {"local": [], "drive": []}
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    desk.run()
    assert desk.names() == _both(desk.present())
    said = capsys.readouterr().out
    assert f"key {_print(FIRST)}: 1 backups still need it" in said
    desk.run()
    desk.rotate(THIRD, SECOND, FIRST, ring=[SECOND, FIRST])
    desk.run()
    assert desk.names() == _both(desk.present())
    said = capsys.readouterr().out
    assert f"key {_print(SECOND)}: nothing needs it any more" in said
    with Catalogue(StateDirectory(desk.config.state_directory).catalogue) as catalogue:
        last = catalogue.last_run("rotate-key")
        assert last is not None
        assert last.outcome == "complete"


def test_a_key_that_is_lost_from_the_keyring_is_not_lost_from_the_store(desk: Desk) -> None:
    """The operator dropped a key that backups still need: its keyring stays until they are gone."""
    desk.store_backup(FIRST, "loomio_backup_20261101_000000", "drive")
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    desk.run()
    before = desk.present()
    desk.rotate(SECOND, ring=[])
    desk.run()
    # In the local store nothing needs it.
    assert desk.names() == {"local": [], "drive": [before]}
    state = StateDirectory(desk.config.state_directory)
    drive = open_stores(desk.config, Credentials(desk.root))["drive"]
    for stored in list(drive.list()):
        if stored.name.endswith(".manifest.age"):
            drive.delete(stored)
            with Catalogue(state.catalogue) as catalogue:
                catalogue.forget_stored("drive", stored.name)
    desk.run()
    assert desk.names() == {"local": [], "drive": []}


def test_without_an_identity_nothing_is_removed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.rotate(SECOND, ring=[FIRST], on_the_pi=False)
    desk.run()
    before = desk.present()
    desk.rotate(THIRD, ring=[SECOND, FIRST], on_the_pi=False)
    desk.run()
    assert desk.names() == _both(before, desk.present())
    assert "holds no identity" in capsys.readouterr().out
    # Lent for once, it says that the other can go.
    (desk.root / "identity").write_text(THIRD)
    desk.run()
    assert desk.names() == _both(desk.present())


def test_append_only_keeps_what_was_replaced(desk: Desk) -> None:
    desk.append_only = True
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    desk.run()
    before = desk.present()
    desk.rotate(THIRD, SECOND, FIRST, ring=[SECOND, FIRST])
    desk.run()
    assert desk.names() == {"local": [desk.present()], "drive": sorted([before, desk.present()])}


def test_what_does_not_belong_together_changes_nothing(desk: Desk) -> None:
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    good = desk.names()
    ring = (desk.root / "keyring.age").read_text()
    (desk.root / "identity").write_text(THIRD)
    with pytest.raises(KeyringError, match="is not one that its backups are encrypted for"):
        desk.run()
    (desk.root / "identity").write_text(SECOND)
    (desk.root / "keyring.age").write_text(keyring.make([FIRST], [crypto.recipient_of(THIRD)]))
    with pytest.raises(KeyringError, match="does not open with its identity"):
        desk.run()
    assert desk.names() == good
    (desk.root / "keyring.age").write_text(ring)
    desk.run()


def test_a_damaged_keyring_is_replaced_by_the_one_that_we_hold(desk: Desk) -> None:
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    desk.run()
    path = desk.root / "disk" / desk.present()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    desk.run()
    assert path.read_bytes() == whole


def test_a_keyring_that_drive_holds_damaged_is_replaced_too(desk: Desk) -> None:
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    desk.run()
    drive, lab = open_stores(desk.config, Credentials(desk.root))["drive"], LabDrive(desk.emulator.url)
    before = drive.stat(desk.present())
    assert before is not None
    # What comes back has another hash than Drive says, each time it is asked for.
    lab.fault("corrupt", times=2, match={"operation": "download"})
    desk.run()
    after = drive.stat(desk.present())
    assert after is not None
    assert after.id != before.id
    desk.run()
    assert desk.names() == _both(desk.present())


def test_a_keyring_that_lists_do_not_show_yet_is_read_back_all_the_same(desk: Desk) -> None:
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    lab = LabDrive(desk.emulator.url)
    lab.fault("hide", times=None, seconds=3600, match={"name": "keyring_*"})
    desk.run()
    lab.clear_faults()


def test_what_only_has_a_keyrings_name_is_never_fetched(desk: Desk) -> None:
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    desk.run()
    path = desk.root / f"{keyring.PREFIX}0123456789abcdef{keyring.SUFFIX}"
    path.write_bytes(bytes(keyring.MOST_BYTES + 1))
    drive, lab = open_stores(desk.config, Credentials(desk.root))["drive"], LabDrive(desk.emulator.url)
    drive.put(path.name, path, as_it_is(path))
    lab.clear_log()
    desk.run()
    fetched = [line for line in lab.log() if line["operation"] == "download"]
    assert len(fetched) == 1, "only the keyring that is really one"
    assert desk.names()["drive"] == sorted([desk.present(), path.name])


def test_a_store_that_fails_is_told_after_the_others_were_done(desk: Desk) -> None:
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    LabDrive(desk.emulator.url).fault("status", times=None, match={"operation": "*create*"}, status=403)
    with pytest.raises(AgentError, match="not yet in order everywhere"):
        desk.run()
    assert desk.names() == {"local": [desk.present()], "drive": []}
    LabDrive(desk.emulator.url).clear_faults()
    desk.run()
    assert desk.names()["drive"] == [desk.present()]


def test_repacking_forgets_what_is_in_packs_of_earlier_keys(desk: Desk) -> None:
    desk.rotate(SECOND, FIRST, ring=[FIRST])
    state = StateDirectory(desk.config.state_directory)
    with Catalogue(state.catalogue) as catalogue:
        for name, identity in (("app-data_1", FIRST), ("app-data_2", SECOND)):
            catalogue.add_object(object_entry(name, key_fingerprints=[_print(identity)]))
            catalogue.add_packed([(b"path", name, 1, 2, 3, 4, "hash")])
    desk.run()
    desk.run(repack=True)
    with Catalogue(state.catalogue) as catalogue:
        assert catalogue.database.execute("SELECT pack FROM packed").fetchall() == [("app-data_2",)]


def test_replaced() -> None:
    found = {"same": {"a"}, "more": {"a", "b"}, "closed": None, "other": {"b"}}
    assert replaced(found, {"a"}, {"a", "b"}) == ["same"]
    assert replaced(found, {"a"}, {"a"}) == ["same", "more", "other"]
    assert replaced(found, {"a"}, None) == ["same"]
    assert replaced(found, set(), set()) == ["same", "more", "other"]


def test_report_names_what_stays_closed() -> None:
    old = ObjectEntry(**object_entry("a").model_dump() | {"key_fingerprints": [_print(FIRST)]})
    backups = [manifest(name="one", objects=[old]), manifest(name="two", objects=[old])]
    recipients = [crypto.recipient_of(SECOND)]
    assert report(backups, recipients, Keys(SECOND), True) == [
        "2 backups stay closed with the keys on this Pi, the last is two"
    ]
    assert report(backups, recipients, Keys(None), True) == []
    [line] = report(backups, recipients, Keys(f"{SECOND}\n{FIRST}"), True)
    assert line == f"key {_print(FIRST)}: 2 backups still need it, the last of them is two"
    [line] = report([], recipients, Keys(f"{SECOND}\n{FIRST}"), True)
    assert "can be dropped" in line
    assert report([], recipients, Keys(f"{SECOND}\n{FIRST}"), False) == []
