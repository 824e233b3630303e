"""A pretended Pi with a local store and a Drive, and what can be seen of both from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loomio_backup.config import DriveStore
from loomio_backup.stores.drive import DriveFolder

from .agent_site import Outcome, Site
from .drive import DriveEmulator, LabDrive

KINDS = {
    "pack": "app-data_",
    "index": "app-data-index_",
    "dump": ".dump.zst.age",
    "config": ".config.tar.zst.age",
    "manifest": ".manifest.age",
    "pin": ".pin.age",
    "page": "RECOVERY.md",
}


@dataclass
class Pair:
    """The Pi, the folder of its local store (None without one), and its Drive."""

    pi: Site
    disk: Path | None
    drive: LabDrive

    def in_drive(self) -> set[str]:
        """Names of all objects in Drive."""
        return {file["name"] for file in self.drive.files() if "md5" in file}

    def on_disk(self) -> set[str]:
        """Names of all objects in the local store, hidden leftovers included."""
        assert self.disk is not None
        return {path.name for path in self.disk.iterdir()}

    def backups(self, *arguments: str) -> list[dict[str, Any]]:
        """What the verb list says, newest first."""
        found: list[dict[str, Any]] = json.loads(self.pi.must("list", "--json", *arguments))
        return found

    def fails(self, *arguments: str) -> str:
        """A verb that must fail with one sentence; returns it."""
        outcome: Outcome = self.pi.run(*arguments)
        assert outcome.code == 1, outcome
        assert outcome.err.startswith("loomio-backup: "), outcome.err
        assert outcome.err.count("\n") == 1, outcome.err
        return outcome.err

    def sent(self) -> dict[str, int]:
        """Bytes of content that Drive was sent since the log was cleared, by object."""
        found: dict[str, int] = {}
        for entry in self.drive.log():
            if entry["operation"].startswith("upload.") and entry["bytes_in"]:
                found[entry["name"]] = found.get(entry["name"], 0) + entry["bytes_in"]
        return found

    def remove_from_drive(self, name: str) -> None:
        """Delete an object behind the agent's back."""
        secret = json.loads((self.pi.root / "credentials" / "drive.json").read_text())
        assert self.pi.config.stores.drive is not None
        folder = DriveFolder(self.pi.config.stores.drive, secret)
        stored = folder.stat(name)
        assert stored is not None
        folder.delete(stored)

    def cut_off(self) -> None:
        """From now on Drive refuses everything."""
        self.drive.fault("invalid-grant", times=None)


def kinds(names: set[str]) -> list[str]:
    """What kinds of objects these are, sorted."""
    found = []
    for name in names:
        found += [kind for kind, sign in KINDS.items() if name.startswith(sign) or name.endswith(sign)]
    return sorted(found)


@contextmanager
def pair(root: Path, database: Site, local: bool = True, **drive: Any) -> Iterator[Pair]:
    """A pair whose Pi has the (filled) database of another one, which several tests may share; `drive` are
    settings of the Drive store.
    """
    with DriveEmulator(root / "drive") as emulator:
        lab = LabDrive(emulator.url)
        secret = json.dumps(lab.register_user())
        disk = root / "disk" if local else None
        settings = DriveStore(api_root=emulator.url, token_uri=lab.token_uri, **drive)
        pi = Site(root / "pi", database.project, local=disk, drive=settings, drive_secret=secret)
        pi.container = database.container
        pi.fill_files()
        yield Pair(pi, disk, lab)
