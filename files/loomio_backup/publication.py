"""Objects on their way into the stores: each goes to every store, and leaves the spool when it is safe.

A store that fails (or a local store whose disk gets tight) is left alone for the rest of the run, and gets no
manifest: what it holds stays as it was. The others go on. When none is left, the run ends.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from loomio_backup import room
from loomio_backup.catalogue import Catalogue
from loomio_backup.errors import BackupError, StoreError
from loomio_backup.manifest import ObjectEntry
from loomio_backup.objects import Digests
from loomio_backup.progress import Ticker, bytes_text, say
from loomio_backup.stores.base import Store


class Publication:
    """One run's stores, and what became of them."""

    def __init__(
        self, stores: Mapping[str, Store], catalogue: Catalogue, local_folder: Path | None = None
    ) -> None:
        self._stores = dict(stores)
        self._catalogue = catalogue
        self._local_folder = local_folder
        self.reserve = 0
        """Bytes that the local store leaves free for what else is to pass through the spool."""
        self.failed: dict[str, str] = {}
        """Why a store was given up, by the store's kind."""

    @property
    def working(self) -> dict[str, Store]:
        """The stores that have not failed."""
        return {kind: store for kind, store in self._stores.items() if kind not in self.failed}

    def give_up(self, kind: str, error: StoreError) -> None:
        """Leave a store alone from now on. Raises BackupError when it was the last one."""
        self.failed[kind] = str(error)
        say(f"{kind}: given up for this backup: {error}")
        if not self.working:
            reasons = " ".join(f"{name}: {reason}" for name, reason in self.failed.items())
            raise BackupError(f"the backup was not stored anywhere; earlier backups are untouched. {reasons}")

    def object(self, entry: ObjectEntry, path: Path) -> None:
        """Store an object of the backup everywhere; then remove the file `path`."""
        self._catalogue.add_object(entry)
        self.store(entry.name, path, entry.digests)
        path.unlink()

    def store(self, name: str, path: Path, digests: Digests) -> None:
        """Store a file under `name` in every store that works."""
        for kind, store in self.working.items():
            try:
                if store.kind == "local" and self._local_folder is not None:
                    room.require_local_store(self._local_folder, name, digests.stored_size, self.reserve)
                stored = store.put(
                    name,
                    path,
                    digests,
                    object_id=store.reserve_id(),
                    progress=_telling(f"{kind}: {name}", digests.stored_size),
                )
            except StoreError as error:
                self.give_up(kind, error)
                continue
            self._catalogue.add_stored(kind, stored)

    def replace(self, name: str, path: Path, digests: Digests) -> None:
        """Put a file in place of the one that every working store has under this name."""
        for kind, store in self.working.items():
            try:
                store.replace(name, path, digests)
            except StoreError as error:
                # The backup itself is complete there; only the run must not pass as a success.
                self.failed[kind] = f"{name} could not be renewed: {error}"
                say(f"{kind}: {self.failed[kind]}")


def _telling(what: str, total: int) -> Callable[[int], None]:
    ticker = Ticker(what)
    return lambda done: ticker.tick(f"{bytes_text(done)} of {bytes_text(total)}")
