"""A store with an object of every kind, and what somebody who can write to it may have at hand: older
objects of the same Pi, those of another Loomio, and those that another signing key made for the same key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loomio_backup.catalogue.manifest import SUFFIX, Manifest, unseal
from loomio_backup.config import DriveStore, Watch
from loomio_backup.encryption import crypto
from loomio_backup.stores.drive import DriveFolder
from tests.lab import agent_keys
from tests.lab.agent_site import DATABASE, Site, site
from tests.lab.drive import DriveEmulator, LabDrive

from .rig import Content, content_of, forget_what_was_replaced

PASSPHRASE = "a passphrase of the older scripts"


@dataclass
class World:
    """The Pi that made the backups, the new one that may have to restore them, and the bytes of everything.

    lab: the Drive. pristine: the objects of the local store by name, in_drive: those of Drive. known: what
    each backup restores to. older: objects that were in the local store before, by name: RECOVERY.md, a pin
    that was removed, a keyring that was replaced. last_week: all names that were there after the second
    backup. sibling: another Loomio of the same keys; foreign: one that knows our public key and has another
    signing key.
    """

    root: Path
    pi: Site
    fresh: Site
    lab: LabDrive
    pristine: dict[str, bytes] = field(default_factory=dict)
    in_drive: dict[str, bytes] = field(default_factory=dict)
    known: dict[str, Content] = field(default_factory=dict)
    older: dict[str, bytes] = field(default_factory=dict)
    last_week: list[str] = field(default_factory=list)
    sibling: dict[str, bytes] = field(default_factory=dict)
    foreign: dict[str, bytes] = field(default_factory=dict)
    foreign_signing_key: str = ""
    _number: int = 0

    @property
    def disk(self) -> Path:
        """The store's folder."""
        return self.root / "disk"

    def drive(self) -> DriveFolder:
        """The folder in Drive, for whoever has the Pi's access to it."""
        settings = self.pi.config.stores.drive
        assert settings is not None
        return DriveFolder(settings, json.loads((self.pi.root / "credentials" / "drive.json").read_text()))

    def backup(self, *options: str) -> str:
        """People work, and a backup is made of it; its name."""
        self._number += 1
        self.pi.sql(f"INSERT INTO users (email) VALUES ('person{self._number}@example.org')")
        (self.pi.uploads / f"new {self._number}").write_bytes(bytes([self._number]) * 40_000)
        self.pi.must("run", *options)
        name = max(self._names())
        self.known[name] = content_of(self.pi)
        return name

    def _names(self) -> list[str]:
        return [path.name.removesuffix(SUFFIX) for path in self.disk.glob(f"*{SUFFIX}")]

    def restore_newest(self) -> None:
        """The Pi begins its next generation; before that it backs up what is live."""
        before = content_of(self.pi)
        self.pi.must("restore", "--newest", "--unattended", "--replace-live-data")
        for name in self._names():
            self.known.setdefault(name, before)
        forget_what_was_replaced(self.pi)

    def empty_new_pi(self) -> None:
        """Nothing is on the new Pi, and it remembers nothing."""
        fresh = self.fresh
        forget_what_was_replaced(fresh)
        fresh.sql(f"DROP DATABASE {DATABASE} WITH (FORCE)", "postgres")
        fresh.sql(f"CREATE DATABASE {DATABASE}", "postgres")
        for place in (fresh.uploads, fresh.storage, fresh.root / "state"):
            shutil.rmtree(place, ignore_errors=True)
        fresh.uploads.mkdir()
        fresh.storage.mkdir()

    def manifests(self) -> dict[str, Manifest]:
        """The store's manifests, newest first, by the names of their objects."""
        text = (self.pi.root / "credentials" / "identity").read_text()
        public = crypto.signing_public_key(self.pi.signing_key)
        folder = self.root / "pristine manifests"
        folder.mkdir(exist_ok=True)
        found = []
        for name, data in self.pristine.items():
            if name.endswith(SUFFIX):
                (folder / name).write_bytes(data)
                found.append(unseal(folder / name, crypto.parse_identities(text), public))
        return {one.manifest_name: one for one in sorted(found, key=lambda one: one.order, reverse=True)}


@contextmanager
def world(root: Path, name: str) -> Iterator[World]:
    """Six backups in two generations, under two keys, some of them pinned, each in both formats."""
    with ExitStack() as stack:
        lab = LabDrive(stack.enter_context(DriveEmulator(root / "drive")).url)
        drive = DriveStore(api_root=lab.url, token_uri=lab.token_uri)
        both: dict[str, Any] = {
            "local": root / "disk",
            "drive": drive,
            "drive_secret": json.dumps(lab.register_user()),
        }
        pi = stack.enter_context(site(root / "pi", name, **both))
        _patient(pi)
        fresh = Site(root / "fresh", f"{name}-fresh", keys=pi, **both)
        made = World(root, pi, fresh, lab)
        pi.fill()
        made.backup()
        made.backup("--pin")
        made.last_week = sorted(path.name for path in made.disk.iterdir())
        for _ in range(2):
            # The second keyring takes the place of the first.
            made.older |= {path.name: path.read_bytes() for path in made.disk.glob("keyring_*")}
            agent_keys.rotate(pi)
            pi.must("rotate-key")
        third = made.backup()
        pi.must("pin", third)
        pin = made.disk / f"{third}.pin.age"
        made.older |= {pin.name: pin.read_bytes(), "RECOVERY.md": (made.disk / "RECOVERY.md").read_bytes()}
        pi.must("unpin", third)
        made.restore_newest()
        made.backup()
        made.backup("--pin")
        _others(made)
        made.pristine = contents(made.disk)
        made.in_drive = _contents_of_drive(made)
        # As a new Pi would have it: the key of today, which opens the keyring.
        fresh.identity = pi.identity
        (fresh.root / "credentials" / "identity").write_text(pi.identity + "\n")
        fresh.write_config(fresh.config.model_copy(update={"recipients": pi.config.recipients}))
        _patient(fresh)
        try:
            fresh.start_database()
            yield made
        finally:
            fresh.stop()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _contents_of_drive(made: World) -> dict[str, bytes]:
    store, folder = made.drive(), made.root / "from drive"
    folder.mkdir()
    for stored in store.list():
        store.get(stored, folder / stored.name)
    return contents(folder)


def _patient(pi: Site) -> None:
    """Both formats, and no complaint about the age of backups, however long a series lasts."""
    (pi.root / "credentials" / "legacy_passphrase").write_text(PASSPHRASE + "\n")
    watch = Watch(stale_after_hours=1000)
    pi.write_config(pi.config.model_copy(update={"format": "fernet", "watch": watch}))


def _others(made: World) -> None:
    """Two more that back up the same database, each into a folder of its own."""
    for name in ("sibling", "foreign"):
        disk = made.root / f"{name} disk"
        other = Site(made.root / name, made.pi.project, local=disk, keys=made.pi)
        _patient(other)
        if name == "foreign":
            other.signing_key, public = crypto.generate_signing_key()
            (other.root / "credentials" / "signing_key").write_text(other.signing_key + "\n")
            other.write_config(other.config.model_copy(update={"signing_public_key": public}))
            made.foreign_signing_key = other.signing_key
        other.fill_files()
        other.must("run", "--pin")
        for _ in range(2 if name == "sibling" else 0):
            # A Pi that forgot goes on as the next generation: by number, its last backup is the newest.
            for path in (other.root / "state").glob("catalogue.sqlite*"):
                path.unlink()
            other.must("run")
        agent_keys.rotate(other)
        other.must("rotate-key")
        setattr(made, name, contents(disk))
        shutil.rmtree(disk)
