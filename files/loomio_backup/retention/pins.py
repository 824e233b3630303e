"""Pins: a backup that is pinned stays, whatever the settings say, until the pin is removed.

A pin is an object of its own beside the backup, `NAME.pin.age`, in every store that holds the backup: so a
new Pi, or a machine that prunes elsewhere, knows it too. Its presence is the pin; what it holds says who
pinned and why: age(JSON {"format": …, "version": 1, "payload": …, "signature": …}), signed like a manifest.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import PIN_SUFFIX
from loomio_backup.catalogue.objects import Digests, as_it_is, read_object, write_sealed
from loomio_backup.config import Config
from loomio_backup.credentials import SIGNING_KEY, Credentials
from loomio_backup.encryption import crypto
from loomio_backup.encryption.keys import Keys
from loomio_backup.errors import CryptoError, ManifestError, StoreConflict, StoreDamaged, StoreNotFound
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store, StoredObject

FORMAT = "loomio-backup-pin"
VERSION = 1
MOST_BYTES = 1 << 16
"""No pin is larger: a reason is a line."""


class Pin(BaseModel):
    """What a pin says. `by`: a person's stays until a person removes it; the program's may go in need."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    backup: str
    reason: str
    pinned_at: AwareDatetime
    by: Literal["person", "program"]


def pin_name(backup: str) -> str:
    """The name of the object that pins a backup."""
    return backup + PIN_SUFFIX


class Pins:
    """Puts pins into stores, reads and removes them. `history` is always that of the store."""

    def __init__(
        self,
        settings: Config,
        credentials: Credentials,
        state: StateDirectory,
        catalogue: Catalogue,
        reader: Reader,
    ) -> None:
        self._public_keys = (settings.signing_public_key, *settings.old_signing_public_keys)
        self._recipients = [*settings.recipients, crypto.recipient_of(state.catalogue_identity())]
        self._credentials = credentials
        self._catalogue = catalogue
        self._reader = reader

    def put(self, store: Store, history: History, pin: Pin) -> bool:
        """Pin a backup in a store that holds it; False when it was pinned already. A person's pin takes the
        place of the program's. Raises StoreError.
        """
        name = pin_name(pin.backup)
        present = _present(store, history, name)
        if present is not None:
            found = self.read(store, present)
            if found is None or found.by == "person" or pin.by == "program":
                return False
        with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
            path = Path(directory) / name
            digests = self._seal(pin, path)
            if present is None:
                stored = _put(store, name, path, digests)
            else:
                stored = store.replace(name, path, digests)
        self._catalogue.add_stored(store.kind, stored)
        history.objects[name] = stored
        history.pins.add(pin.backup)
        return True

    def remove(self, store: Store, history: History, backup: str) -> bool:
        """Remove the pin of a backup from a store; False when there was none. Raises StoreError."""
        name = pin_name(backup)
        found = [stored for stored in [history.objects.get(name), *history.duplicates] if stored is not None]
        pins = [stored for stored in found if stored.name == name]
        for stored in pins:
            store.delete(stored)
        self._catalogue.forget_stored(store.kind, name)
        history.objects.pop(name, None)
        history.duplicates = [stored for stored in history.duplicates if stored.name != name]
        history.pins.discard(backup)
        return bool(pins)

    def read(self, store: Store, stored: StoredObject) -> Pin | None:
        """What a pin says, or None when it cannot be believed: then it counts as a person's. Raises
        StoreError when the store cannot be asked.
        """
        if stored.size > MOST_BYTES:
            return None
        with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
            path = Path(directory) / stored.name
            try:
                store.get(stored, path)
            except (StoreDamaged, StoreNotFound):
                return None
            return believed(path, self._reader.keys, self._public_keys)

    def spread(self, store: Store, history: History, others: Mapping[str, tuple[Store, History]]) -> None:
        """Give this store the pins that its backups have elsewhere. Raises StoreError."""
        held = {summary.name for summary in history.backups}
        for other, theirs in others.values():
            for backup in sorted((theirs.pins & held) - history.pins):
                pin = _present(other, theirs, pin_name(backup))
                if pin is None or pin.size > MOST_BYTES:
                    continue
                with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
                    path = Path(directory) / pin.name
                    other.get(pin, path)
                    stored = _put(store, path.name, path, as_it_is(path))
                self._catalogue.add_stored(store.kind, stored)
                history.objects[stored.name] = stored
                history.pins.add(backup)

    def _seal(self, pin: Pin, destination: Path) -> Digests:
        payload = pin.model_dump_json()
        signature = crypto.sign(self._credentials.required(SIGNING_KEY), payload.encode())
        document = {"format": FORMAT, "version": VERSION, "payload": payload, "signature": signature}
        return write_sealed(json.dumps(document).encode(), destination, self._recipients)


def believed(path: Path, keys: Keys, public_keys: Sequence[str]) -> Pin | None:
    """The pin in a file that has its object's name; None when it cannot be believed."""
    try:
        pin = _unsealed(path, keys, public_keys)
    except (CryptoError, ManifestError):
        return None
    return pin if pin_name(pin.backup) == path.name else None


def _unsealed(path: Path, keys: Keys, public_keys: Sequence[str]) -> Pin:
    with read_object(path, keys.identities, compressed=False) as source:
        data = source.read()
    try:
        document = json.loads(data)
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise ManifestError(f"{path.name} is a pin of a version that this program does not know.")
        payload = str(document["payload"])
        crypto.verify_any(public_keys, payload.encode(), str(document["signature"]))
        return Pin.model_validate_json(payload)
    except (ValueError, KeyError, TypeError, ValidationError):
        raise ManifestError(f"{path.name} is not a pin.") from None


def _present(store: Store, history: History, name: str) -> StoredObject | None:
    """An object that is really there: a list shows what was deleted for a while."""
    listed = history.objects.get(name)
    return None if listed is None else store.stat(name, listed.id)


def _put(store: Store, name: str, path: Path, digests: Digests) -> StoredObject:
    """Like Store.put; but another pin that came first, from elsewhere, is as good as ours."""
    try:
        return store.put(name, path, digests, object_id=store.reserve_id())
    except StoreConflict:
        found = store.stat(name)
        if found is None:
            raise
        return found
