"""What every store can do, whatever it is made of: one interface, proven by one conformance suite.

Objects are immutable: a name is written once. What a store returns from `put` has been compared with the
store's own idea of size and hash; a name that appears in `list` is complete.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from loomio_backup.errors import StoreError

if TYPE_CHECKING:
    from loomio_backup.catalogue.objects import Digests

# Called with the bytes of this object done so far; may go back when an upload or download has to start over.
Progress = Callable[[int], None]

_LONGEST_NAME = 200  # bytes in UTF-8: room for the suffix of a temporary name in every common file system


@dataclass(frozen=True)
class StoredObject:
    """One object as its store reports it.

    size in bytes; md5 and sha256 in hex, None where the store does not keep them (a local folder keeps none,
    Drive nearly always both); id is Drive's file id; created is by the store's clock, in UTC.
    """

    name: str
    size: int
    md5: str | None
    sha256: str | None
    id: str | None
    created: datetime

    def matches(self, digests: "Digests") -> bool:
        """Whether size and every hash that the store knows equal what was meant to be stored."""
        return (
            self.size == digests.stored_size
            and self.md5 in (None, digests.stored_md5)
            and self.sha256 in (None, digests.stored_sha256)
        )


@dataclass(frozen=True)
class Space:
    """Bytes of the store's file system or account; None where there is no limit, or nobody can tell.
    `trash` is part of `used`.
    """

    total: int | None
    used: int | None
    free: int | None
    trash: int = 0


class UploadMemory(Protocol):
    """Where the address of an unfinished upload survives the process. The address is a secret."""

    def recall(self) -> str | None:
        """The address, when an earlier process left an upload unfinished."""

    def remember(self, address: str | None) -> None:
        """Keep the address durably; None when the upload has ended."""


class Store(Protocol):
    """A place for objects. Used from one thread at a time; `clone` gives another thread its own.

    Every method raises a StoreError whose text is the sentence to show: StoreFull, StoreAuth, StoreNotFound,
    StoreConflict, StoreDamaged, StoreUnavailable, StoreAppendOnly.
    """

    @property
    def kind(self) -> Literal["local", "drive"]:
        """What the settings call this store."""

    @property
    def append_only(self) -> bool:
        """Whether this Pi is not to delete here."""

    def clone(self) -> "Store":
        """The same store for another thread; limits (bandwidth) are shared."""

    def now(self) -> datetime:
        """The time by the store's own clock, in UTC: what ages of its objects are measured with."""

    def space(self) -> Space:
        """How much room there is."""

    def source_path(self, name: str) -> Path | None:
        """The object as a file of this machine that can be read in place; None where it has to be fetched."""

    def verify_access(self) -> None:
        """Find out cheaply whether backups could be stored now, with fresh credentials, changing nothing but
        the folder itself, which is made where it is absent. Raises the StoreError that a backup would meet:
        StoreAuth (dead token, missing role or scope), StoreNotFound (folder gone or in the trash, disk not
        mounted); StoreUnavailable says nothing about the access.
        """

    def probe(self) -> None:
        """Really store a small object, read it back and delete it (leaving it where deleting is not ours to
        do). Raises the StoreError that a backup would meet.
        """

    def reserve_id(self) -> str | None:
        """An id to write down before `put(object_id=…)`, so that a repeated `put` finds what an interrupted
        one left even while the store's lists lag behind. None where names are enough.
        """

    def put(
        self,
        name: str,
        path: Path,
        digests: "Digests",
        *,
        object_id: str | None = None,
        progress: Progress | None = None,
        memory: UploadMemory | None = None,
    ) -> StoredObject:
        """Store the file `path` under `name`. With `memory` (and the same `object_id`) an upload that an
        earlier process began goes on where it stopped. Returns what is there already when it has the same
        content; raises StoreConflict when it has another. Nothing is left under `name` when this raises,
        except after StoreDamaged where the store forbids us to delete.
        """

    def get(
        self, name_or_object: str | StoredObject, destination: Path, progress: Progress | None = None
    ) -> StoredObject:
        """Fetch into `destination` (mode 0600; appears only when complete and equal to what the store says it
        holds: to `sha256` of what is returned, where the store keeps that). A power cut may take it away.
        """

    def list(self) -> Iterator[StoredObject]:
        """Every object, in no particular order; folders, trash and unfinished objects are not shown. Two of
        one name are two objects with ids of their own. Drive's lists lag behind: what was just put may be
        missing, what was just deleted may still be there.
        """

    def stat(self, name: str, object_id: str | None = None) -> StoredObject | None:
        """The object of this name, or None. With an id: the object that has it, if it still has that name;
        the answer is never out of date. Without, a fresh object may be missing for a while (but what is
        returned is there).
        """

    def delete(self, stored: StoredObject) -> None:
        """Remove, as the settings say: for good or to the trash. An object that is gone already is no error.
        Raises StoreAppendOnly where it is not ours to do.
        """

    def replace(self, name: str, path: Path, digests: "Digests") -> StoredObject:
        """Like `put`, but takes the place of what is there. For RECOVERY.md only: everything else is
        immutable.
        """


def check_name(name: str) -> None:
    """Refuse names that some store cannot hold: paths, hidden files, control characters, over 200 bytes."""
    printable = name.isprintable() and "/" not in name and not name.startswith(".")
    if not name or not printable or len(name.encode()) > _LONGEST_NAME:
        raise StoreError(f"{name!r} cannot be the name of an object. Nothing was stored.")


def check_source(name: str, path: Path, digests: "Digests") -> None:
    """Refuse a file whose size is not what `digests` says: it was changed or cut since it was written."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{name} was not stored: {path} cannot be read ({error.strerror}).") from error
    if size != digests.stored_size:
        raise StoreError(
            f"{name} was not stored: {path} has {size} bytes, but {digests.stored_size} were written. "
            "Nothing in the store has changed. Run the backup again."
        )
