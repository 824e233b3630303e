"""Which backups are in a store: its manifests, read and verified once and remembered in the catalogue."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loomio_backup import crypto, objects
from loomio_backup.catalogue import Catalogue, Summary
from loomio_backup.config import Config
from loomio_backup.credentials import IDENTITY, Credentials
from loomio_backup.crypto import Identity
from loomio_backup.errors import DamagedObject, ManifestError, SignatureError, StoreDamaged, WrongKey
from loomio_backup.manifest import is_manifest, unseal
from loomio_backup.state import StateDirectory
from loomio_backup.stores.base import Store, StoredObject


@dataclass
class History:
    """What one store holds, as its own listing says. Names are object names.

    `damaged`: (name, sentence) of manifests that cannot be believed; `foreign`: that no key of ours opens.
    """

    store: str
    backups: list[Summary] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    objects: dict[str, StoredObject] = field(default_factory=dict)

    def newest_first(self) -> list[Summary]:
        """The backups, newest first: by generation and sequence, never by time or name."""
        return sorted(self.backups, key=lambda summary: summary.order, reverse=True)


class Reader:
    """Reads histories with every key that this Pi has."""

    def __init__(
        self, config: Config, credentials: Credentials, state: StateDirectory, catalogue: Catalogue
    ) -> None:
        keys = state.catalogue_identity() + "\n" + (credentials.optional(IDENTITY) or "")
        self.identities: Sequence[Identity] = crypto.parse_identities(keys)
        self._public_key = config.signing_public_key
        self._catalogue = catalogue

    def read(self, store: Store) -> History:
        """List a store and read the manifests that are new to the catalogue. Raises StoreError."""
        history = History(store.kind)
        for stored in store.list():
            history.objects[stored.name] = stored
        for name in sorted(filter(is_manifest, history.objects)):
            stored = history.objects[name]
            try:
                summary = self._catalogue.known_manifest(stored) or self._fetch(store, stored)
            except WrongKey:
                history.foreign.append(name)
            except (DamagedObject, SignatureError, ManifestError, StoreDamaged) as error:
                history.damaged.append((name, str(error)))
            else:
                history.backups.append(summary)
        return history

    def _fetch(self, store: Store, stored: StoredObject) -> Summary:
        # Not in the spool: listing does not hold the lock under which the spool is cleared.
        with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
            path = Path(directory) / stored.name
            store.get(stored, path)
            _, sha256, md5 = objects.hash_file(path)
            known = self._catalogue.known_manifest(_with_hash(stored, sha256))
            if known is not None:
                return known
            manifest = unseal(path, self.identities, self._public_key)
            if manifest.manifest_name != stored.name:
                raise ManifestError(f"{stored.name} holds the manifest of another backup, {manifest.name}.")
            return self._catalogue.add_manifest(manifest, sha256, md5)


def _with_hash(stored: StoredObject, sha256: str) -> StoredObject:
    return StoredObject(stored.name, stored.size, stored.md5, sha256, stored.id, stored.created)
