"""A backup on its way into a store: every object that the store lacks is brought there, each one is confirmed
by the store itself, and only then the manifest follows.

What is worth most comes first: the database, then the configuration, the packs (several at a time), the
index. What was sent before an interruption is not sent again.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from loomio_backup.backup.attempt import Attempts
from loomio_backup.backup.sending import Sender
from loomio_backup.backup.sources import Sources
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import Manifest, ObjectEntry, ObjectKind
from loomio_backup.catalogue.objects import Digests
from loomio_backup.encryption.lending import Lent
from loomio_backup.progress import Ticker, bytes_text
from loomio_backup.stores import Store

_ORDER: tuple[tuple[ObjectKind, ...], ...] = (("database", "legacy"), ("config",), ("pack",), ("index",))


class Replication:
    """Brings backups into stores. `parallel`: how many objects are on their way to Drive at a time."""

    def __init__(self, sender: Sender, sources: Sources, catalogue: Catalogue, parallel: int) -> None:
        self._sender = sender
        self._sources = sources
        self._catalogue = catalogue
        self._parallel = parallel
        self._attempts = Attempts(catalogue)
        self._confirmed: set[tuple[str, str]] = set()
        """(store, object) that a store has confirmed to this very process."""
        self._lent: dict[str, Lent] = {}

    def publish(self, manifest: Manifest, target: Store, path: Path, digests: Digests) -> None:
        """Complete a backup in a store, then store its manifest, the file `path`. Raises StoreError; the
        manifest is then not there.
        """
        with self._noted(manifest, target):
            self.complete(manifest, target)
            self._sender.send(target, manifest.manifest_name, path, digests)

    def copy(self, manifest: Manifest, target: Store) -> None:
        """Complete a backup that other stores hold, then copy its manifest. Raises StoreError."""
        name = manifest.manifest_name
        with self._noted(manifest, target):
            self.complete(manifest, target)
            sha256 = self._catalogue.manifest_digest(name)
            with self._sources.file(name, sha256, target.kind) as (path, digests):
                self._sender.send(target, name, path, digests)

    @contextmanager
    def _noted(self, manifest: Manifest, target: Store) -> Iterator[None]:
        """What is in here leaves something behind when it is interrupted (leftovers.py)."""
        self._attempts.copying(target.kind, manifest.name)
        yield
        self._attempts.copied(target.kind, manifest.name)

    def lacking(self, manifest: Manifest, kind: str) -> int:
        """Bytes of a backup that a store of this kind lacks, as far as is known."""
        there = self._catalogue.stored_in(kind)
        return sum(entry.stored_size for entry in manifest.objects if entry.name not in there)

    def complete(self, manifest: Manifest, target: Store) -> None:
        """Have every object of a backup confirmed by a store, copying what it lacks. Raises StoreError."""
        for kinds in _ORDER:
            self._all([entry for entry in manifest.objects if entry.kind in kinds], target)

    def _all(self, entries: Sequence[ObjectEntry], target: Store) -> None:
        entries = [entry for entry in entries if (target.kind, entry.name) not in self._confirmed]
        ticker, total = Ticker(target.kind), sum(entry.stored_size for entry in entries)
        parallel = self._parallel if target.kind == "drive" else 1
        lent = self._lent.setdefault(target.kind, Lent(target))
        stop = threading.Event()
        with ThreadPoolExecutor(parallel) as pool:
            working = [pool.submit(self._one, entry, lent, stop) for entry in entries]
            try:
                size = 0
                for number, future in enumerate(as_completed(working), start=1):
                    entry = future.result()
                    self._confirmed.add((target.kind, entry.name))
                    size += entry.stored_size
                    state = f"{number} of {len(entries)} objects, {bytes_text(size)} of {bytes_text(total)}"
                    ticker.tick(state, size / max(1, total))
            finally:
                # After a failure, or told to end: the others stop at their next sign of progress.
                stop.set()
                for future in working:
                    future.cancel()

    def _one(self, entry: ObjectEntry, lent: Lent, stop: threading.Event) -> ObjectEntry:
        with lent.one() as target:
            if not self._holds(target, entry):
                with self._sources.file(entry.name, entry.stored_sha256, target.kind) as (path, _):
                    self._sender.send(target, entry.name, path, entry.digests, stop)
        return entry

    def _holds(self, target: Store, entry: ObjectEntry) -> bool:
        """Whether a store says, now and by id, that it holds an object as it should be."""
        known = self._catalogue.believed(target.kind, entry.name)
        if known is None or known.state == "damaged":
            return False
        stored = target.stat(entry.name, known.id)
        if stored is None and known.state == "confirmed":
            # It is gone, whatever a list says: the next backup must not rely on it.
            self._catalogue.forget_stored(target.kind, entry.name)
        if stored is None or not stored.matches(entry.digests):
            return False
        self._catalogue.add_stored(target.kind, stored)
        return True
