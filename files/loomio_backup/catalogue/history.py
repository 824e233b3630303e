"""Which backups are in a store: its manifests, read and verified once and remembered in the catalogue.

A store's list may lag behind (Drive's do, for minutes) and show one name twice. So what the catalogue knows
the store to hold is asked for by its id when the list lacks it, and of two objects of one name the one with
the right content counts.
"""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from loomio_backup.catalogue import objects
from loomio_backup.catalogue.catalogue import Catalogue, Summary
from loomio_backup.catalogue.manifest import PIN_SUFFIX, SUFFIX, is_manifest, require_size, unseal
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.encryption.keys import Keys
from loomio_backup.errors import (
    DamagedObject,
    ManifestError,
    SignatureError,
    StoreDamaged,
    StoreNotFound,
    WrongKey,
)
from loomio_backup.state import StateDirectory
from loomio_backup.stores.base import Store, StoredObject

_UNBELIEVABLE = (DamagedObject, SignatureError, ManifestError, StoreDamaged)


@dataclass
class History:
    """What one store holds. Names are object names, except in `pins`.

    foreign: manifests that no key of ours opens; damaged: (name, sentence) of those that cannot be believed;
    missing: those that the store confirmed, and that are gone without us (where somebody else prunes: only
    those newer than all that is left); gone: other objects of that kind.
    objects: for each name the one that counts; duplicates: the others. pins: names of backups.
    """

    store: str
    backups: list[Summary] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    pins: set[str] = field(default_factory=set)
    objects: dict[str, StoredObject] = field(default_factory=dict)
    duplicates: list[StoredObject] = field(default_factory=list)

    def newest_first(self) -> list[Summary]:
        """The backups, newest first: by generation and sequence, never by time or name."""
        return sorted(self.backups, key=lambda summary: summary.order, reverse=True)


class Reader:
    """Reads histories with every key that this Pi has."""

    def __init__(
        self, config: Config, credentials: Credentials, state: StateDirectory, catalogue: Catalogue
    ) -> None:
        self.keys = Keys.of(credentials, state.catalogue_identity())
        self._public_keys = (config.signing_public_key, *config.old_signing_public_keys)
        self._catalogue = catalogue

    def read(self, store: Store) -> History:
        """List a store and read the manifests that are new to the catalogue. Raises StoreError."""
        history = History(store.kind)
        candidates: dict[str, list[StoredObject]] = {}
        for stored in store.list():
            candidates.setdefault(stored.name, []).append(stored)
        self._add_unlisted(store, candidates, history)
        for name in sorted(candidates):
            found = self._likeliest_first(store, candidates[name])
            if is_manifest(name):
                self._read_manifest(store, found, history)
                if not found:
                    continue
            history.objects.setdefault(name, found[0])
            history.duplicates += [stored for stored in found if stored is not history.objects[name]]
            if name.endswith(PIN_SUFFIX):
                history.pins.add(name.removesuffix(PIN_SUFFIX))
        if history.foreign and self.keys.learn(store, history.objects):
            # Made before the key was changed: the present one opens the ring of those before it.
            foreign, history.foreign = history.foreign, []
            for name in foreign:
                self._read_manifest(store, self._likeliest_first(store, candidates[name]), history)
        if store.append_only:
            self._miss_newer(history)
        return history

    def _miss_newer(self, history: History) -> None:
        """Whoever prunes elsewhere never takes what is newer than all that is left: then it was taken."""
        newest = max((summary.order for summary in history.backups), default=(0, 0))
        for name in filter(is_manifest, list(history.gone)):
            manifest = self._catalogue.manifest(name.removesuffix(SUFFIX))
            if manifest is not None and manifest.order > newest:
                history.gone.remove(name)
                history.missing.append(name)

    def _add_unlisted(
        self, store: Store, candidates: dict[str, list[StoredObject]], history: History
    ) -> None:
        """Ask for what the store confirmed and its list lacks; an answer by id never lags."""
        removed = self._catalogue.removed_from(store.kind)
        for name, object_id in self._catalogue.stored_in(store.kind).items():
            if name in candidates:
                continue
            stored = store.stat(name, object_id)
            if stored is not None:
                candidates[name] = [stored]
            elif is_manifest(name) and name.removesuffix(SUFFIX) not in removed and not store.append_only:
                history.missing.append(name)
            else:
                history.gone.append(name)

    def _likeliest_first(self, store: Store, found: list[StoredObject]) -> list[StoredObject]:
        """Objects of one name: first those with the content that we know, then the one whose id we know, then
        the oldest.
        """
        if len(found) == 1:
            return found
        name = found[0].name
        known = self._catalogue.stored_in(store.kind).get(name)
        entry = self._catalogue.entry(name)

        def rank(stored: StoredObject) -> tuple[bool, bool, object]:
            right = self._catalogue.known_manifest(stored) is not None or (
                entry is not None and stored.matches(entry.digests)
            )
            return not right, stored.id != known, stored.created

        return sorted(found, key=rank)

    def _read_manifest(self, store: Store, found: list[StoredObject], history: History) -> None:
        """Read the first of these objects that is a manifest; when none is, say what the likeliest one is.
        Those that a list only still shows are taken out of `found`.
        """
        name = found[0].name
        problems: list[Exception] = []
        for stored in list(found):
            try:
                summary = self._catalogue.known_manifest(stored) or self._fetch(store, stored)
            except StoreNotFound:
                if store.stat(name, stored.id) is not None:
                    raise
                found.remove(stored)
                continue
            except (WrongKey, *_UNBELIEVABLE) as error:
                problems.append(error)
                continue
            history.backups.append(summary)
            history.objects[name] = stored
            return
        if not problems:
            return
        if isinstance(problems[0], WrongKey):
            history.foreign.append(name)
        else:
            history.damaged.append((name, str(problems[0])))

    def _fetch(self, store: Store, stored: StoredObject) -> Summary:
        require_size(stored.name, stored.size)
        # Not in the spool: listing does not hold the lock under which the spool is cleared.
        with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
            path = store.source_path(stored.name)
            if path is None:
                path = Path(directory) / stored.name
                store.get(stored, path)
            _, sha256, md5 = objects.hash_file(path)
            known = self._catalogue.known_manifest(replace(stored, sha256=sha256))
            if known is not None:
                return known
            manifest = unseal(path, self.keys.identities, *self._public_keys)
            if manifest.manifest_name != stored.name:
                raise ManifestError(f"{stored.name} holds the manifest of another backup, {manifest.name}.")
            return self._catalogue.add_manifest(manifest, sha256, md5)


def remember(catalogue: Catalogue, store: Store, history: History) -> None:
    """Bring the catalogue up to date with what a store holds: what is gone is forgotten, what was not known
    (the catalogue was lost, or is new) is learned. Only for the holder of the lock. Missing manifests stay
    known, because they stay missing. Raises StoreError.
    """
    kind = history.store
    known, damaged = catalogue.stored_in(kind), catalogue.damaged_in(kind)
    for name in [*history.gone, *(name for name in damaged if name not in history.objects)]:
        catalogue.forget_stored(kind, name)
    manifests = {summary.name + SUFFIX for summary in history.backups}
    for name, stored in list(history.objects.items()):
        entry = catalogue.entry(name)
        if entry is None and name not in manifests and not name.endswith(PIN_SUFFIX):
            continue
        right = entry is None or stored.matches(entry.digests)
        if right and name in known and known[name] == stored.id:
            continue
        # A list may still show what was just deleted.
        if store.stat(name, stored.id) is None:
            del history.objects[name]
            history.backups = [one for one in history.backups if one.name + SUFFIX != name]
            continue
        with catalogue.transaction():
            catalogue.add_stored(kind, stored)
            # What was read and found damaged stays so where only sizes can be compared.
            if not right or (name in damaged and stored.md5 is None):
                catalogue.mark_damaged(kind, name)
