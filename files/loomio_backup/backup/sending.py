"""One object on its way into one store: written down before, confirmed after, resumed in between."""

import threading
from collections.abc import Callable
from pathlib import Path

from loomio_backup import room
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import Digests
from loomio_backup.config import Config
from loomio_backup.errors import StoreFull
from loomio_backup.progress import Ticker, bytes_text
from loomio_backup.stores.base import Store, StoredObject


class Stopped(Exception):  # noqa: N818 - asked for, no error
    """Another thread failed, so this one's work would be in vain."""


class Sender:
    """Sends objects; for any number of threads, each with a store of its own."""

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        self._local = config.stores.local
        self._catalogue = catalogue
        self.reserve = 0
        """Bytes that the local store leaves free for what else is to pass through the spool."""
        self.make_room: Callable[[Store, int], bool] | None = None
        """Lets old backups go for so many bytes in a store, if any may; whether there is room then."""

    def send(
        self,
        store: Store,
        name: str,
        path: Path,
        digests: Digests,
        stop: threading.Event | None = None,
    ) -> StoredObject:
        """Store the file `path` as the object `name`, going on with what an earlier process began. Raises
        StoreError, and Stopped soon after `stop` is set.
        """
        try:
            return self._send(store, name, path, digests, stop)
        except StoreFull:
            if self.make_room is None or not self.make_room(store, digests.stored_size):
                raise
        return self._send(store, name, path, digests, stop)

    def _send(
        self, store: Store, name: str, path: Path, digests: Digests, stop: threading.Event | None
    ) -> StoredObject:
        if store.kind == "local" and self._local is not None:
            room.require_local_store(self._local.path, name, digests.stored_size, self.reserve)
        # An id serves only once: the one of an upload that was begun has to serve on.
        known = self._catalogue.believed(store.kind, name)
        begun = known.id if known is not None and known.state == "sending" else None
        object_id = begun or store.reserve_id()
        session = self._catalogue.sending(store.kind, name, object_id)
        stored = store.put(
            name,
            path,
            digests,
            object_id=object_id,
            progress=_progress(f"{store.kind}: {name}", digests.stored_size, stop),
            memory=session,
        )
        self._catalogue.add_stored(store.kind, stored)
        return stored


def _progress(what: str, total: int, stop: threading.Event | None) -> Callable[[int], None]:
    ticker = Ticker(what)

    def tell(done: int) -> None:
        if stop is not None and stop.is_set():
            raise Stopped
        ticker.tick(f"{bytes_text(done)} of {bytes_text(total)}", done / max(1, total))

    return tell
