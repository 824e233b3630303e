"""What a run that died (or failed) left behind, and how the next one ends it.

A manifest that reached a store makes a backup, whatever became of us afterwards: that is found out first, by
its id. Otherwise the objects of the attempt go, because only its manifest would have referred to them. Packs
that lie complete in the spool are sent to their end, and wait for a backup that needs them.
"""

from pathlib import Path

from loomio_backup.backup.attempt import Attempt, Attempts
from loomio_backup.backup.publication import Publication
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import Digests, hash_file
from loomio_backup.errors import StoreAppendOnly, StoreAuth, StoreError
from loomio_backup.progress import say
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store, StoredObject


class Leftovers:
    """Ends what is left over, in the stores that take part in this run; for the others it is kept in mind."""

    def __init__(self, publication: Publication, catalogue: Catalogue, state: StateDirectory) -> None:
        self._publication = publication
        self._catalogue = catalogue
        self._attempts = Attempts(catalogue)
        self._state = state

    def end(self) -> None:
        """Everything, at the start of a run. Raises BackupError when no store works."""
        for attempt in self._attempts.unfinished():
            self._settle(attempt)
        self.remove()
        self._settle_packs()
        self._state.empty_spool()

    def remove(self) -> None:
        """Remove what no manifest refers to from the stores."""
        for name in self._attempts.leftovers():
            if self._catalogue.is_needed(name):
                # By a backup: then it is none, whatever was written down.
                self._attempts.gone(name)
                continue
            for kind in self._catalogue.holders(name):
                store = self._publication.working.get(kind)
                if store is None:
                    continue
                with self._publication.giving_up(kind):
                    self._remove(store, name)
            if not self._catalogue.holders(name):
                self._catalogue.forget_object(name)
                self._attempts.gone(name)

    def remove_copies(self) -> None:
        """At the end of a run, remove what there is of copies that were interrupted and not taken up again,
        because retention does not ask for them. Packs and indexes stay: other backups may need them.
        """
        self._remove_half_copies()
        for kind, store in self._publication.working.items():
            with self._publication.giving_up(kind):
                for name in self._catalogue.sent_to(kind):
                    entry = self._catalogue.entry(name)
                    if not self._arrived(store, name, entry.digests if entry else None):
                        self._catalogue.forget_stored(kind, name)

    def _remove_half_copies(self) -> None:
        for kind, backup in sorted(self._attempts.copies()):
            store, manifest = self._publication.working.get(kind), self._catalogue.manifest(backup)
            if store is None:
                continue
            with self._publication.giving_up(kind):
                if manifest is not None and self._stat(store, manifest.manifest_name) is None:
                    for entry in manifest.objects:
                        if entry.kind not in ("pack", "index"):
                            self._remove(store, entry.name)
                    self._catalogue.forget_stored(kind, manifest.manifest_name)
                self._attempts.copied(kind, backup)

    def _remove(self, store: Store, name: str) -> None:
        stored = self._stat(store, name)
        try:
            if stored is not None:
                store.delete(stored)
        except StoreAppendOnly:
            pass  # somebody else prunes there, and clears this up
        except StoreAuth as error:
            # No reason to do without the store: where the role allows storing only, a backup still succeeds.
            say(f"{store.kind}: {name} is left over, and stays for now: {error}")
            return
        self._catalogue.forget_stored(store.kind, name)

    def _settle(self, attempt: Attempt) -> None:
        """Find out whether an attempt became a backup; nothing is decided while a store cannot be asked."""
        for kind in self._catalogue.holders(attempt.manifest_name):
            store = self._publication.working.get(kind)
            if store is None:
                return
            found = None
            try:
                found = self._arrived(store, attempt.manifest_name, attempt.manifest)
            except StoreError as error:
                self._publication.give_up(kind, error)
                return
            if found:
                say(f"{attempt.backup} was complete in {kind} when its run was interrupted")
                self._attempts.adopted(attempt)
                return
        if not self._is_somewhere(attempt):
            self._attempts.abandoned(attempt)

    def _is_somewhere(self, attempt: Attempt) -> bool:
        """Whether a store holds the manifest although the catalogue knows nothing of its being sent: it may
        be older than the backup, from a copy of the SD card.
        """
        for kind, store in self._publication.working.items():
            with self._publication.giving_up(kind):
                if store.stat(attempt.manifest_name) is not None:
                    say(f"{attempt.backup} is complete in {kind}, which this Pi did not know")
                    self._attempts.adopted(attempt)
                    return True
        return False

    def _settle_packs(self) -> None:
        """Packs whose way into a store was interrupted: arrived, or still to be sent from the spool."""
        for path in sorted(self._state.spool.glob("app-data_*")):
            entry = self._catalogue.entry(path.name)
            if entry is not None and _is(path, entry.digests):
                self._publication.store(entry.name, path, entry.digests)
                path.unlink()
        for kind, store in self._publication.working.items():
            with self._publication.giving_up(kind):
                for name in self._catalogue.sent_to(kind):
                    entry = self._catalogue.entry(name)
                    if entry is not None and entry.kind == "pack":
                        self._arrived(store, name, entry.digests)

    def _arrived(self, store: Store, name: str, digests: Digests | None) -> bool:
        """Whether an object that was being sent is in the store, whole; then the catalogue knows it, too."""
        stored = self._stat(store, name)
        if stored is None or digests is None or not stored.matches(digests):
            return False
        self._catalogue.add_stored(store.kind, stored)
        return True

    def _stat(self, store: Store, name: str) -> StoredObject | None:
        known = self._catalogue.believed(store.kind, name)
        return store.stat(name, known.id if known else None)


def _is(path: Path, digests: Digests) -> bool:
    size, sha256, _ = hash_file(path)
    return (size, sha256) == (digests.stored_size, digests.stored_sha256)
