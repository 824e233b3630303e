"""Objects on their way back: fetched from the first store that has them whole, hashed before they are
opened.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from loomio_backup.crypto import Identity
from loomio_backup.errors import DamagedObject, StoreError
from loomio_backup.manifest import ObjectEntry
from loomio_backup.objects import hash_file, read_object
from loomio_backup.progress import Ticker, bytes_text, say
from loomio_backup.stores import Store


class Fetcher:
    """Fetches objects into a directory, one at a time; counts them."""

    def __init__(self, stores: Sequence[Store], directory: Path, identities: Sequence[Identity]) -> None:
        self._stores = stores
        self._directory = directory
        self.identities = identities
        self.objects = 0
        self.bytes = 0

    @contextmanager
    def file(self, entry: ObjectEntry) -> Iterator[Path]:
        """The object as a file that is exactly what the manifest says, removed afterwards.

        Raises DamagedObject when no store has it so.
        """
        path = self._directory / entry.name
        try:
            self._fetch(entry, path)
            self.objects += 1
            self.bytes += entry.stored_size
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def content(self, entry: ObjectEntry) -> Iterator[BinaryIO]:
        """The object's content as a stream. Raises WrongKey and DamagedObject."""
        with self.file(entry) as path, read_object(path, self.identities) as source:
            yield source

    def _fetch(self, entry: ObjectEntry, path: Path) -> None:
        problems = []
        for store in self._stores:
            ticker = Ticker(f"{store.kind}: {entry.name}")
            total = bytes_text(entry.stored_size)

            def tell(done: int, ticker: Ticker = ticker, total: str = total) -> None:
                ticker.tick(f"{bytes_text(done)} of {total}")

            try:
                store.get(entry.name, path, progress=tell)
            except StoreError as error:
                problems.append(str(error))
                say(f"{store.kind}: {error}")
                continue
            size, sha256, _ = hash_file(path)
            if (size, sha256) == (entry.stored_size, entry.stored_sha256):
                return
            path.unlink()
            problems.append(f"{entry.name} in {store.kind} is not what the manifest describes")
            say(problems[-1])
        raise DamagedObject(f"{entry.name} cannot be had whole: {'; '.join(problems)}.")
