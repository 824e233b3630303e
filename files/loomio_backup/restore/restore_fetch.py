"""Objects on their way back: fetched from the first store that has them whole, hashed before they are
opened.

A store that cannot be reached says nothing about what it holds: only an object that is missing or altered
counts as damage (and lets an older backup be tried), everything else ends the restore.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from loomio_backup.catalogue.manifest import ObjectEntry
from loomio_backup.catalogue.objects import read_object, sha256_of
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import DamagedObject, RestoreError, StoreDamaged, StoreError, StoreNotFound
from loomio_backup.progress import Ticker, bytes_text, say
from loomio_backup.stores import Store, StoredObject


class Fetcher:
    """Gives objects as files, one at a time: those of a folder where they are, others fetched into
    `directory`; counts them. `interrupted`: what did not happen, should a store not do its part; when `stop`
    is set, it raises RestoreError instead of fetching on.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        directory: Path,
        identities: Sequence[Identity],
        interrupted: str = "nothing was restored. Nothing live was changed",
        stop: threading.Event | None = None,
    ) -> None:
        self.stores = stores
        self._directory = directory
        self._interrupted = interrupted
        self._stop = stop or threading.Event()
        self.identities = identities
        self.objects = 0
        self.bytes = 0

    @contextmanager
    def file(self, entry: ObjectEntry) -> Iterator[Path]:
        """The object as a file that is exactly what the manifest says; what was fetched is removed then.

        Raises DamagedObject when no store has it so, RestoreError when that cannot be said because a store
        did not do its part.
        """
        fetched = self._directory / entry.name
        try:
            path = self._found(entry, fetched)
            self.objects += 1
            self.bytes += entry.stored_size
            yield path
        finally:
            fetched.unlink(missing_ok=True)

    @contextmanager
    def content(self, entry: ObjectEntry) -> Iterator[BinaryIO]:
        """The object's content as a stream. Raises WrongKey and DamagedObject."""
        with self.file(entry) as path, read_object(path, self.identities) as source:
            yield source

    def _found(self, entry: ObjectEntry, fetched: Path) -> Path:
        damaged: list[str] = []
        failed: list[str] = []
        for store in self.stores:
            self._end_when_told()
            try:
                path, size, sha256 = self._from(store, entry, fetched)
            except (StoreNotFound, StoreDamaged, FileNotFoundError) as error:
                damaged.append(str(error))
                say(f"{store.kind}: {error}")
                continue
            except (StoreError, OSError) as error:
                failed.append(f"{store.kind}: {error}")
                say(failed[-1])
                continue
            if (size, sha256) == (entry.stored_size, entry.stored_sha256):
                return path
            damaged.append(f"{entry.name} in {store.kind} is not what the manifest describes.")
            say(damaged[-1])
        if failed:
            raise RestoreError(
                f"{entry.name} could not be fetched, so {self._interrupted}, and no older backup was taken "
                f"instead. {' '.join(failed + damaged)} When that is mended, run it again; to take an older "
                "backup, name it with --backup."
            )
        raise DamagedObject(f"{entry.name} cannot be had whole: {' '.join(damaged)}")

    def _from(self, store: Store, entry: ObjectEntry, fetched: Path) -> tuple[Path, int, str]:
        path = store.source_path(entry.name)
        if path is not None:
            return path, *sha256_of(path)
        came = self._fetch(store, entry, fetched)
        # What the store says was compared on the way; where it keeps no SHA-256, the file has to be read.
        return fetched, *((came.size, came.sha256) if came.sha256 else sha256_of(fetched))

    def _fetch(self, store: Store, entry: ObjectEntry, fetched: Path) -> StoredObject:
        ticker = Ticker(f"{store.kind}: {entry.name}")
        total = entry.stored_size

        def tell(done: int) -> None:
            self._end_when_told()
            ticker.tick(f"{bytes_text(done)} of {bytes_text(total)}", done / max(1, total))

        return store.get(entry.name, fetched, progress=tell)

    def _end_when_told(self) -> None:
        if self._stop.is_set():
            raise RestoreError(f"the fetching was told to end, so {self._interrupted}.")
