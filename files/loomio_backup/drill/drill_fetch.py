"""A drill's way to its objects: one store, timed, and what the store fails to do is no proof of anything."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loomio_backup.catalogue.manifest import ObjectEntry
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import DrillError, RestoreError
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.stores import Store


class DrillFetcher(Fetcher):
    """Gives objects of one store only; `seconds` is how long that took, hashing included."""

    def __init__(self, store: Store, directory: Path, identities: Sequence[Identity]) -> None:
        super().__init__([store], directory, identities, "the drill came to no end")
        self.seconds = 0.0

    @contextmanager
    def file(self, entry: ObjectEntry) -> Iterator[Path]:
        """Like Fetcher's, but raises DrillError when the store did not do its part."""
        began = time.monotonic()
        with ExitStack() as stack:
            try:
                path = stack.enter_context(super().file(entry))
            except RestoreError as error:
                raise DrillError(str(error)) from error
            finally:
                self.seconds += time.monotonic() - began
            yield path
