"""A trial of a store, as the setup makes it before anybody relies on it."""

import os
import tempfile
from pathlib import Path

from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.errors import StoreDamaged
from loomio_backup.stores.base import Store

NAME = "loomio_backup_probe"
"""Always the same name: what an interrupted probe left is used again, and where nothing may be deleted, one
such object stays.
"""
_SIZE = 1024


def probe(store: Store) -> None:
    """Store random bytes, read them back, compare, delete them (unless the store is append-only)."""
    with tempfile.TemporaryDirectory() as folder:
        sent, fetched = Path(folder) / "sent", Path(folder) / "fetched"
        sent.write_bytes(os.urandom(_SIZE))
        stored = store.replace(NAME, sent, as_it_is(sent))
        store.get(stored, fetched)
        if fetched.read_bytes() != sent.read_bytes():
            raise StoreDamaged(
                f"the {store.kind} store gave back other bytes than it was given. Nothing else in it was "
                "touched. Do not rely on it: test the disk, the network and the Pi's memory."
            )
        if not store.append_only:
            store.delete(stored)
