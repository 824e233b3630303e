"""One store for several threads: each borrows a copy of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from loomio_backup.stores import Store


class Lent:
    """A store and as many clones of it as are needed at the same time; they are kept, because each has to
    open its own connection.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._idle: SimpleQueue[Store] = SimpleQueue()
        self._idle.put(store)

    @contextmanager
    def one(self) -> Iterator[Store]:
        """The store, for this thread alone."""
        try:
            store = self._idle.get_nowait()
        except Empty:
            store = self._store.clone()
        try:
            yield store
        finally:
            self._idle.put(store)
