"""What tests of `loomio-pi pull` and `prune` share: a Pi's backups in a folder, made without a Pi."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

from inventories.secrets import checked
from loomio_backup import clock
from loomio_backup.catalogue.manifest import Manifest, ObjectEntry, backup_name, seal
from loomio_backup.catalogue.objects import Digests, write_object
from loomio_backup.database.postgres import DatabaseProperties
from loomio_backup.encryption import crypto
from loomio_backup.stores.base import Store

from .agent_samples import manifest

PROPERTIES = DatabaseProperties("loomio", "UTF8", "C.UTF-8", "C.UTF-8", "libc", None, -1, [])


@dataclass
class PiBackups:
    """Backups as a Pi with these secrets makes them, in the plain folder `folder`."""

    folder: Path
    secrets_text: str
    #: Texts in the config object, by their names in the tar.
    config: dict[str, str] = field(default_factory=dict)
    #: Recipients of people who have a key of their own.
    others: list[str] = field(default_factory=list)
    made: list[Manifest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._random = random.Random(7)

    def make(
        self, packs: Sequence[str] = ("app-data_1",), *, generation: int = 1, hours_ago: float | None = None
    ) -> Manifest:
        """One more backup, which needs these packs; those that are there already are used again."""
        keys = checked(self.secrets_text, "x").encryption
        recipients = [crypto.recipient_of(keys.identity.get_secret_value()), *self.others]
        sequence = 1 + sum(one.generation == generation for one in self.made)
        moment = clock.now().replace(microsecond=0) - timedelta(
            hours=hours_ago if hours_ago is not None else 100 - len(self.made)
        )
        name = backup_name(moment)
        known = {entry.name: entry for one in self.made for entry in one.objects}
        objects = [
            self._object(f"{name}.dump.zst.age", "database", self._random.randbytes(30_000), recipients),
            self._object(f"{name}.config.tar.zst.age", "config", _config_tar(self.config), recipients),
        ]
        for pack in packs:
            full = f"{pack}.tar.zst.age"
            objects.append(
                known.get(full) or self._object(full, "pack", self._random.randbytes(600_000), recipients)
            )
        made = manifest(
            name=name, generation=generation, sequence=sequence, objects=objects,
            started_at=moment, snapshot_at=moment, finished_at=moment,
            previous=self.made[-1].name if self.made else None,
        )  # fmt: skip
        seal(made, keys.signing_key.get_secret_value(), recipients, self.folder / made.manifest_name)
        self.made.append(made)
        return made

    def _object(self, name: str, kind: str, content: bytes, recipients: list[str]) -> ObjectEntry:
        digests = write_object(io.BytesIO(content), self.folder / name, recipients)
        return ObjectEntry.of(name, kind, digests, recipients)  # type: ignore[arg-type]

    def send_to(self, store: Store) -> None:
        """Bring everything that the folder holds into a store."""
        held = {stored.name for stored in store.list()}
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.name not in held:
                store.put(path.name, path, digests_of_file(path))

    def names(self) -> set[str]:
        """What the folder holds."""
        return {path.name for path in self.folder.iterdir()}


def digests_of_file(path: Path) -> Digests:
    """As the agent knows what it has written."""
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Digests(len(data), sha256, len(data), sha256, md5)


def flip(path: Path) -> None:
    """Damage a file without changing its size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _config_tar(more: Mapping[str, str]) -> bytes:
    texts = {"postgres/database.json": json.dumps(asdict(PROPERTIES)), "postgres/roles.json": "[]", **more}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in texts.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
