"""Objects that are in some store already, as files: read in place where the store is a folder, else fetched
into the spool, and always compared with what they should be.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loomio_backup import room
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import Digests, as_it_is
from loomio_backup.encryption.lending import Lent
from loomio_backup.errors import StoreDamaged, StoreError
from loomio_backup.stores import Store


class NotToBeHad(StoreError):  # noqa: N818 - reads as what it is
    """No store has an object as it should be; the store that needs it is not to blame."""


class Sources:
    """The stores of one run as places to copy from."""

    def __init__(self, stores: Mapping[str, Store], catalogue: Catalogue, spool: Path) -> None:
        self._stores = {kind: Lent(store) for kind, store in stores.items()}
        self._catalogue = catalogue
        self._spool = spool

    @contextmanager
    def file(
        self, name: str, sha256: str | None, without: str | None = None
    ) -> Iterator[tuple[Path, Digests]]:
        """The object as a file with this SHA-256 (hex), and its sizes and hashes as stored; from any store
        but `without`. What was fetched is removed afterwards. Raises NotToBeHad.
        """
        fetched = self._spool / f"{name}.copy"
        try:
            yield self._found(name, sha256, without, fetched)
        finally:
            fetched.unlink(missing_ok=True)

    def _found(
        self, name: str, sha256: str | None, without: str | None, fetched: Path
    ) -> tuple[Path, Digests]:
        problems = []
        for kind in self._catalogue.holders(name):
            if kind == without or kind not in self._stores:
                continue
            try:
                with self._stores[kind].one() as store:
                    path = self._file_of(store, name, fetched)
                digests = as_it_is(path)
                if digests.stored_sha256 == sha256:
                    return path, digests
                raise StoreDamaged(f"{name} in {kind} is not what was stored there.")
            except StoreDamaged as error:
                self._catalogue.mark_damaged(kind, name)
                problems.append(str(error))
            except StoreError as error:
                problems.append(f"{kind}: {error}")
            fetched.unlink(missing_ok=True)
        raise NotToBeHad(
            f"{name} is needed, and no other store holds it whole. {' '.join(problems)} What the stores hold "
            "was left as it is. The next backup takes its content from this Pi again."
        )

    def _file_of(self, store: Store, name: str, fetched: Path) -> Path:
        path = store.source_path(name)
        if path is not None:
            return path
        known = self._catalogue.believed(store.kind, name)
        stored = store.stat(name, known.id if known else None)
        if stored is None:
            raise StoreError(f"{name} is not there.")
        if not room.fits_spool(self._spool, stored.size):
            raise StoreError(
                f"{name} cannot be fetched: the disk of {self._spool} has too little room for it."
            )
        store.get(stored, fetched)
        return fetched
