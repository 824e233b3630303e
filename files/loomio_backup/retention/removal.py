"""Removing a backup from a store, in steps that bear repetition at any point.

Written down in `removals` → its manifest → what only it needed → written down as done. Without its manifest a
backup does not exist: an interruption before that moment undoes the decision, one after it is finished by the
next prune, which knows from the catalogue what the backup consisted of.
"""

from collections.abc import Iterable
from datetime import timedelta

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History
from loomio_backup.catalogue.manifest import SUFFIX
from loomio_backup.retention.holding import Holding, is_shared
from loomio_backup.retention.pins import pin_name
from loomio_backup.retention.retention import Backup
from loomio_backup.stores import Store, StoredObject

_REMEMBERED = timedelta(days=366)


class Remover:
    """Removes backups and objects, and tells the catalogue. Every method raises StoreError."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._deleted: set[str] = set()

    def settle(self, store: Store, history: History, dry_run: bool) -> list[str]:
        """Correct a history by what is known of removals; returns the backups whose removal was interrupted
        when their manifests were gone.

        A list may go on showing a manifest for a while after it was deleted; asking for it by id tells.
        """
        interrupted = []
        rows = self._catalogue.database.execute(
            "SELECT backup, done FROM removals WHERE store = ? ORDER BY generation, sequence", (store.kind,)
        ).fetchall()
        for backup, done in rows:
            listed = history.objects.get(backup + SUFFIX)
            if listed is not None and store.stat(listed.name, listed.id) is None:
                history.backups = [summary for summary in history.backups if summary.name != backup]
                del history.objects[listed.name]
                listed = None
            if listed is None and not done:
                interrupted.append(backup)
            elif listed is not None and not done and not dry_run:
                self._execute("DELETE FROM removals WHERE store = ? AND backup = ?", store.kind, backup)
        return interrupted

    def remove(self, holding: Holding, backup: Backup, reason: str) -> int:
        """Remove a backup; returns the bytes that this freed."""
        kind = holding.store.kind
        self._execute(
            "INSERT OR REPLACE INTO removals VALUES (?, ?, ?, ?, ?, ?, 0)",
            *(kind, backup.name, backup.generation, backup.sequence),
            *(holding.store.now().isoformat(), reason),
        )
        freed = self.delete(holding, backup.name + SUFFIX)
        history = holding.history
        history.backups = [summary for summary in history.backups if summary.name != backup.name]
        holding.needed_by.subtract(backup.shared)
        return freed + self.finish(holding, backup.name)

    def finish(self, holding: Holding, backup: str) -> int:
        """Remove what only this backup needed, whose manifest is gone; returns the bytes that this freed."""
        manifest = self._catalogue.manifest(backup)
        freed = self.delete(holding, pin_name(backup))
        for entry in manifest.objects if manifest is not None else []:
            if not is_shared(entry) or self._may_go(holding, entry.name):
                freed += self.delete(holding, entry.name)
        self._execute(
            "UPDATE removals SET done = 1 WHERE store = ? AND backup = ?", holding.store.kind, backup
        )
        return freed

    def delete(self, holding: Holding, name: str) -> int:
        """Delete every object of this name from a store; returns their bytes."""
        found = holding.all_of(name)
        object_id = self._catalogue.stored_in(holding.store.kind).get(name)
        if object_id is not None and object_id not in {stored.id for stored in found}:
            unlisted = holding.store.stat(name, object_id)
            found += [] if unlisted is None else [unlisted]
        for stored in found:
            self.delete_one(holding, stored)
        self._catalogue.forget_stored(holding.store.kind, name)
        return sum(stored.size for stored in found)

    def delete_one(self, holding: Holding, stored: StoredObject) -> None:
        """Delete one object, others of its name stay."""
        holding.store.delete(stored)
        history = holding.history
        if history.objects.get(stored.name) == stored:
            del history.objects[stored.name]
        history.duplicates = [other for other in history.duplicates if other != stored]
        self._deleted.add(stored.name)
        if not holding.all_of(stored.name):
            self._catalogue.forget_stored(holding.store.kind, stored.name)

    def forget(self, histories: Iterable[History]) -> None:
        """Forget what no store holds any more: the removed backups and the deleted objects; and, after a
        year, that they were removed. `histories` are those of all stores.
        """
        listed = set().union(*(history.objects for history in histories))
        gone = {name for name in self._deleted - listed if not self._catalogue.holders(name)}
        removed = self._catalogue.database.execute("SELECT backup FROM removals WHERE done = 1").fetchall()
        begun = self._catalogue.database.execute("SELECT backup FROM removals WHERE done = 0").fetchall()
        with self._catalogue.transaction():
            for name in gone:
                self._catalogue.forget_object(name)
            for (backup,) in set(removed) - set(begun):
                manifest_name = backup + SUFFIX
                if manifest_name not in listed and not self._catalogue.holders(manifest_name):
                    self._catalogue.forget_backup(backup)
            long_ago = (clock.now() - _REMEMBERED).isoformat()
            self._execute("DELETE FROM removals WHERE done = 1 AND removed_at < ?", long_ago)
        self._deleted.clear()

    def _may_go(self, holding: Holding, name: str) -> bool:
        state = holding.state
        needed = holding.needed_by[name] > 0 or name in state.in_use
        return not (needed or state.missing or state.unreadable or state.deferred)

    def _execute(self, statement: str, *values: object) -> None:
        self._catalogue.database.execute(statement, values)
