"""Stores with whole backups of little content, made without a database: for verbs that look at backups."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import Manifest, ObjectEntry, ObjectKind, backup_name, seal
from loomio_backup.catalogue.objects import write_legacy, write_object
from loomio_backup.config import Config, DriveStore, LocalStore, Stores, dump
from loomio_backup.credentials import Credentials
from loomio_backup.encryption import crypto, fernet
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_samples import manifest

PASSPHRASE = "a passphrase of the older scripts"


@dataclass
class Shelf:
    """A Pi's stores, configuration and keys. The shared objects are those that the next backup has, too."""

    root: Path
    config: Config
    identity: str
    signing_key: str
    shared: list[ObjectEntry] = field(default_factory=list)
    made: list[Manifest] = field(default_factory=list)

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.config.credentials_directory)

    @property
    def stores(self) -> dict[str, Store]:
        return open_stores(self.config, self.credentials)

    @property
    def disk(self) -> Path:
        """The local store's folder."""
        assert self.config.stores.local is not None
        return self.config.stores.local.path

    def catalogue(self) -> Catalogue:
        return Catalogue(StateDirectory(self.config.state_directory).catalogue)

    def share(self, name: str, content: bytes, kind: ObjectKind = "pack") -> ObjectEntry:
        """An object that all later backups need."""
        entry = self._store(name, kind, content, list(self.stores))
        self.shared.append(entry)
        return entry

    def backup(self, only: Sequence[str] = ("local", "drive"), label: str | None = None) -> Manifest:
        """One more backup, in these stores, made just now."""
        moment = clock.now() - timedelta(minutes=30 - len(self.made))
        name = backup_name(moment)
        kinds = [kind for kind in only if kind in self.stores]
        objects = [
            self._store(f"{name}.dump.zst.age", "database", name.encode() * 5000, kinds),
            self._store(f"{name}.config.tar.zst.age", "config", b"settings", kinds),
            self._store(f"{name}.sql.enc", "legacy", b"SELECT 1;\n" * 1000, kinds),
            *self.shared,
        ]
        number = len(self.made) + 1
        changes = {"started_at": moment, "snapshot_at": moment, "finished_at": moment, "sequence": number}
        made = manifest(name=name, objects=objects, label=label, **changes)
        own = crypto.recipient_of(StateDirectory(self.config.state_directory).catalogue_identity())
        path = self.root / made.manifest_name
        digests = seal(made, self.signing_key, [*self.config.recipients, own], path)
        for kind in kinds:
            self.stores[kind].put(path.name, path, digests)
        path.unlink()
        self.made.append(made)
        return made

    def _store(self, name: str, kind: ObjectKind, content: bytes, stores: Sequence[str]) -> ObjectEntry:
        path = self.root / name
        if kind == "legacy":
            digests = write_legacy(io.BytesIO(content), path, fernet.derive_key(PASSPHRASE))
        else:
            digests = write_object(io.BytesIO(content), path, self.config.recipients)
        for store in stores:
            self.stores[store].put(name, path, digests)
        path.unlink()
        return ObjectEntry.of(name, kind, digests, [] if kind == "legacy" else self.config.recipients)


def shelf(root: Path, emulator: DriveEmulator | None = None) -> Shelf:
    """A Pi with a local store (and Drive), and no backup yet."""
    identity = crypto.generate_identity()
    signing_key, public = crypto.generate_signing_key()
    credentials = root / "credentials"
    credentials.mkdir()
    (credentials / "identity").write_text(identity + "\n")
    (credentials / "signing_key").write_text(signing_key + "\n")
    (credentials / "legacy_passphrase").write_text(PASSPHRASE)
    drive = None
    if emulator is not None:
        lab = LabDrive(emulator.url)
        (credentials / "drive.json").write_text(json.dumps(lab.register_user()))
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri)
    config = Config(
        host="pi",
        stores=Stores(local=LocalStore(path=root / "disk"), drive=drive),
        recipients=[crypto.recipient_of(identity)],
        signing_public_key=public,
        state_directory=root / "state",
        credentials_directory=credentials,
    )
    (root / "config.yml").write_text(dump(config))
    return Shelf(root, config, identity, signing_key)
