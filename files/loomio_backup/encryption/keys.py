"""Every key that this process can open objects with: the identities that it was given, the Pi's own, and the
old ones, which the present one finds in the keyrings beside the backups.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from loomio_backup.catalogue.manifest import Manifest, ObjectEntry
from loomio_backup.credentials import IDENTITY, Credentials
from loomio_backup.encryption import crypto, keyring
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import AgentError, CryptoError, StoreDamaged, StoreNotFound, WrongKey
from loomio_backup.stores.base import Store, StoredObject

Rings = Sequence[tuple[Store, Mapping[str, StoredObject]]]
"""Stores and the objects in them, among which there may be keyrings."""


class Keys:
    """Identities and the fingerprints of their recipients. `given`: texts of identities, newest first;
    `own`: the identity that only this Pi has, which opens manifests and indexes and nothing else.
    """

    def __init__(self, given: str | None, own: str | None = None) -> None:
        self._texts = [str(one) for one in crypto.parse_identities(given)] if given else []
        self._own = own
        self._tried: set[str] = set()
        self.problems: list[str] = []
        """Sentences about keyrings that could not be used."""

    @classmethod
    def of(cls, credentials: Credentials, own: str | None = None) -> "Keys":
        """The keys of this Pi, which holds no identity when it is kept off it (`offline_key`)."""
        return cls(credentials.optional(IDENTITY), own)

    @property
    def newest(self) -> str | None:
        """The identity in use, as text; None when this Pi holds none."""
        return self._texts[0] if self._texts else None

    @property
    def texts(self) -> list[str]:
        """The identities that were given or learned, as texts: secrets."""
        return list(self._texts)

    @property
    def identities(self) -> list[Identity]:
        """All that can open something, the Pi's own included."""
        texts = [*self._texts, *([self._own] if self._own else [])]
        return crypto.parse_identities("\n".join(texts)) if texts else []

    @property
    def fingerprints(self) -> set[str]:
        """The names, in manifests, of all that can open something."""
        return {crypto.fingerprint(str(identity.to_public())) for identity in self.identities}

    def opens(self, entry: ObjectEntry) -> bool:
        """Whether one of the keys opens an object."""
        return not self.fingerprints.isdisjoint(entry.key_fingerprints)

    def learn(self, store: Store, objects: Mapping[str, StoredObject]) -> bool:
        """Open the keyrings among the objects of a store; True when there was an identity that is new.

        A keyring that none of ours opens may be an older one, whose identities a newer one holds.
        """
        if not self._texts:
            return False
        rings: dict[str, bytes] = {}
        for name, stored in objects.items():
            if keyring.is_keyring(name) and stored.size <= keyring.MOST_BYTES and name not in self._tried:
                try:
                    rings[name] = _fetched(store, stored)
                except (StoreDamaged, StoreNotFound) as error:
                    # A list may still show one that was removed; another may hold the same identities.
                    self.problems.append(f"{name} is passed over: {error}")
        self._tried.update(rings)
        learned = False
        # One keyring's identities may open the next.
        while any(self._add(data, name) for name, data in rings.items()):
            learned = True
        return learned

    def _add(self, data: bytes, name: str) -> bool:
        try:
            texts = keyring.opened(data, self._texts, name)
        except WrongKey:
            return False
        except CryptoError as error:
            self.problems.append(f"{name} is passed over: {error}")
            return False
        new = [text for text in texts if text not in self._texts]
        self._texts += new
        return bool(new)

    def for_backup(self, manifest: Manifest, rings: Rings) -> list[Identity]:
        """What opens all of a backup, but what a passphrase opens. Raises WrongKey when no key here does."""
        needed = [entry for entry in manifest.objects if entry.kind != "legacy"]
        self.learn_for(needed, rings)
        closed = [entry for entry in needed if not self.opens(entry)]
        if closed:
            names = sorted({name for entry in closed for name in entry.key_fingerprints})
            raise WrongKey(
                f"{manifest.name} needs one of the keys {', '.join(names)}; none of them is here, nor in a "
                "keyring beside the backups. Nothing was changed. Put that identity into the secrets file "
                "(encryption.old_identities) and run the setup deploy."
            )
        return self.identities

    def learn_for(self, entries: Iterable[ObjectEntry], rings: Rings) -> None:
        """Open keyrings when they are needed for these objects. Stores that fail are passed over."""
        missing = [entry for entry in entries if entry.key_fingerprints and not self.opens(entry)]
        for store, objects in rings:
            if not missing:
                return
            try:
                self.learn(store, objects)
            except AgentError as error:
                self.problems.append(f"{store.kind}: its keyrings are passed over: {error}")
            missing = [entry for entry in missing if not self.opens(entry)]


def needed(manifests: Iterable[Manifest], present: str) -> dict[str, list[str]]:
    """The fingerprints of keys without which backups would stay closed, besides `present` (the fingerprint of
    the key in use): for each the names of the backups.
    """
    found: dict[str, list[str]] = {}
    for manifest in manifests:
        prints = {
            print_
            for entry in manifest.objects
            if present not in entry.key_fingerprints
            for print_ in entry.key_fingerprints
        }
        for print_ in prints:
            found.setdefault(print_, []).append(manifest.name)
    return found


def _fetched(store: Store, stored: StoredObject) -> bytes:
    with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
        path = Path(directory) / stored.name
        store.get(stored, path)
        return path.read_bytes()
