"""The stores that take part in one run: each object goes to the first that works as soon as it is finished.

A store that fails (or a local store whose disk gets tight) is left alone for the rest of the run: what it
holds stays as it was, and the next one takes its place. When none is left, the run ends.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loomio_backup import clock
from loomio_backup.backup.sending import Sender
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import Digests
from loomio_backup.config import Config
from loomio_backup.errors import BackupError, StoreError
from loomio_backup.monitoring import freshness
from loomio_backup.progress import say
from loomio_backup.stores.base import Store


class Publication:
    """One run's stores, and what became of them. `resting`: a store whose turn it is not, and that takes part
    only when all others failed before anything was packed.
    """

    def __init__(self, stores: Mapping[str, Store], sender: Sender, resting: str | None = None) -> None:
        self._stores = dict(stores)
        self.sender = sender
        self._resting = resting
        self.failed: dict[str, str] = {}
        """Why a store was given up, by the store's kind."""
        self.holders: list[str] = []
        """The stores in which the new backup is complete."""

    @classmethod
    def of(
        cls, config: Config, stores: Mapping[str, Store], catalogue: Catalogue, everywhere: bool
    ) -> "Publication":
        """The stores whose turn it is; all of them with `everywhere`."""
        newest = catalogue.newest_in("drive")
        turn = freshness.is_drives_turn(config, newest.snapshot_at if newest else None, clock.now())
        resting = None if everywhere or turn or len(stores) == 1 else "drive"
        return cls(stores, Sender(config, catalogue), resting)

    @property
    def working(self) -> dict[str, Store]:
        """The stores that take part and have not failed, in the order in which objects go to them."""
        return {
            kind: store
            for kind, store in self._stores.items()
            if kind not in self.failed and kind != self._resting
        }

    def give_up(self, kind: str, error: StoreError) -> None:
        """Leave a store alone from now on. Raises BackupError when it was the last one, and the new backup is
        nowhere complete.
        """
        self.failed[kind] = str(error)
        say(f"{kind}: given up for this backup: {error}")
        if not self.working and self._resting is not None:
            say(f"{self._resting}: takes part although it is not its turn, because no other store works")
            self._resting = None
        if not self.working and not self.holders:
            reasons = " ".join(f"{name}: {reason}" for name, reason in self.failed.items())
            raise BackupError(f"the backup was not stored anywhere; earlier backups are untouched. {reasons}")

    @contextmanager
    def giving_up(self, kind: str) -> Iterator[None]:
        """Give the store up when it fails in here, and go on."""
        try:
            yield
        except StoreError as error:
            self.give_up(kind, error)

    def settle(self) -> None:
        """From now on no other store is called in: it would have to be looked at first."""
        if self._resting is not None:
            del self._stores[self._resting]
            self._resting = None

    def store(self, name: str, path: Path, digests: Digests) -> None:
        """Store a file in the first store, or in the next when that one fails."""
        while True:
            kind, store = next(iter(self.working.items()))
            with self.giving_up(kind):
                self.sender.send(store, name, path, digests)
                return
