"""The keyring: with the present identity alone, what was encrypted for earlier ones opens, too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.catalogue.manifest import seal
from loomio_backup.config import Config, LocalStore, Stores
from loomio_backup.credentials import Credentials
from loomio_backup.encryption import crypto, keyring
from loomio_backup.encryption.keys import Keys, needed
from loomio_backup.state import StateDirectory
from loomio_backup.stores import StoredObject
from loomio_backup.stores.local import LocalFolder

from .agent_samples import manifest, object_entry

FIRST, SECOND, THIRD, STRANGER = (crypto.generate_identity() for _ in range(4))
FIRST_SIGNING, FIRST_PUBLIC = crypto.generate_signing_key()
SECOND_SIGNING, SECOND_PUBLIC = crypto.generate_signing_key()


def _print(identity: str) -> str:
    return crypto.fingerprint(crypto.recipient_of(identity))


def _ring(folder: Path, old: list[str], present: str) -> str:
    """Put a keyring into a store; returns its name."""
    data = keyring.make(old, [crypto.recipient_of(present)]).encode()
    folder.mkdir(exist_ok=True)
    (folder / keyring.object_name(data)).write_bytes(data)
    return keyring.object_name(data)


def _listed(store: LocalFolder) -> dict[str, StoredObject]:
    return {stored.name: stored for stored in store.list()}


def _config(tmp_path: Path, public: str, *old: str) -> Config:
    (tmp_path / "credentials").mkdir(exist_ok=True)
    return Config(
        host="pi",
        stores=Stores(local=LocalStore(path=tmp_path / "disk")),
        recipients=[crypto.recipient_of(SECOND)],
        signing_public_key=public,
        old_signing_public_keys=list(old),
        state_directory=tmp_path / "state",
        credentials_directory=tmp_path / "credentials",
    )


def test_a_keyring_that_cannot_be_had_hides_no_other(tmp_path: Path) -> None:
    """One that a list still shows after it was removed, or that is cut short."""
    folder, store = tmp_path / "disk", LocalFolder(tmp_path / "disk")
    gone, cut = _ring(folder, [STRANGER], THIRD), _ring(folder, [FIRST, STRANGER], THIRD)
    _ring(folder, [SECOND], THIRD)
    listed = _listed(store)
    (folder / gone).unlink()
    (folder / cut).write_bytes(b"cut")
    keys = Keys(THIRD)
    assert keys.learn(store, listed)
    assert keys.fingerprints == {_print(THIRD), _print(SECOND)}
    assert sorted(text.split(" ")[0] for text in keys.problems) == sorted([gone, cut])


def test_one_keyring_may_open_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    _ring(folder, [FIRST], SECOND)
    _ring(folder, [SECOND], THIRD)
    _ring(folder, [STRANGER], STRANGER)
    (folder / "keyring_0000000000000000.age").write_bytes(b"not age at all")
    (folder / "keyring_1111111111111111.age").write_bytes(b"x" * (keyring.MOST_BYTES + 1))
    store = LocalFolder(folder)
    keys = Keys(THIRD)
    assert keys.learn(store, _listed(store))
    assert keys.fingerprints == {_print(FIRST), _print(SECOND), _print(THIRD)}
    assert keys.newest == THIRD
    assert not keys.learn(store, _listed(store))
    nobody = Keys(None, STRANGER)
    assert not nobody.learn(store, _listed(store))
    assert (nobody.newest, nobody.fingerprints) == (None, {_print(STRANGER)})


def test_keyrings_are_only_opened_when_they_are_needed(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    _ring(folder, [FIRST], SECOND)
    store = LocalFolder(folder)
    keys = Keys(SECOND)
    present = object_entry("new", key_fingerprints=[_print(SECOND)])
    old = object_entry("old", key_fingerprints=[_print(FIRST)])
    legacy = object_entry("x.sql.enc", "legacy", key_fingerprints=[])
    keys.learn_for([present, legacy], [(store, _listed(store))])
    assert keys.texts == [SECOND]
    keys.learn_for([present, old], [(store, _listed(store))])
    assert keys.texts == [SECOND, FIRST]
    assert keys.opens(old)


@pytest.mark.parametrize("with_ring", [True, False])
def test_a_manifest_of_before_is_read_with_the_present_identity_alone(
    tmp_path: Path, with_ring: bool
) -> None:
    """A fresh Pi after the keys were changed: it has the new identity and the new signing key."""
    folder = tmp_path / "disk"
    folder.mkdir()
    seal(manifest(), FIRST_SIGNING, [crypto.recipient_of(FIRST)], folder / manifest().manifest_name)
    if with_ring:
        _ring(folder, [FIRST], SECOND)
    config = _config(tmp_path, SECOND_PUBLIC, FIRST_PUBLIC)
    (tmp_path / "credentials" / "identity").write_text(SECOND + "\n")
    state = StateDirectory(config.state_directory)
    with Catalogue(state.catalogue) as catalogue:
        reader = Reader(config, Credentials(config.credentials_directory), state, catalogue)
        history = reader.read(LocalFolder(folder))
    found = [summary.name for summary in history.backups], history.foreign
    assert found == (([manifest().name], []) if with_ring else ([], [manifest().manifest_name]))


def test_a_manifest_that_no_key_of_ours_signed_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    seal(manifest(), FIRST_SIGNING, [crypto.recipient_of(SECOND)], folder / manifest().manifest_name)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "identity").write_text(SECOND + "\n")
    for old, damaged in (((), 1), ((FIRST_PUBLIC,), 0)):
        config = _config(tmp_path, SECOND_PUBLIC, *old)
        state = StateDirectory(config.state_directory)
        with Catalogue(state.catalogue) as catalogue:
            reader = Reader(config, Credentials(config.credentials_directory), state, catalogue)
            assert len(reader.read(LocalFolder(folder)).damaged) == damaged


def test_which_old_keys_are_still_needed() -> None:
    old = object_entry("old", key_fingerprints=["first"])
    both = object_entry("both", key_fingerprints=["first", "second"])
    legacy = object_entry("legacy", "legacy", key_fingerprints=[])
    before = manifest(name="before", objects=[old, both, legacy])
    after = manifest(name="after", objects=[both, legacy])
    assert needed([before, after], "second") == {"first": ["before"]}
    assert needed([after], "second") == {}
    assert needed([before, after], "third") == {"first": ["before", "after"], "second": ["before", "after"]}


def test_a_keyring_is_what_the_standard_program_opens(tmp_path: Path) -> None:
    data = keyring.make([FIRST, SECOND], [crypto.recipient_of(THIRD)]).encode()
    (tmp_path / "ring.age").write_bytes(data)
    (tmp_path / "key.txt").write_text(THIRD + "\n")
    command = ["age", "-d", "-i", str(tmp_path / "key.txt"), str(tmp_path / "ring.age")]
    plain = subprocess.run(command, capture_output=True, check=True).stdout
    assert plain.decode().split() == [FIRST, SECOND]
