"""A store in memory, for thousands of histories a minute: sizes are claimed, clocks run as told, steps fail.

It keeps the promises of stores.base.Store, and has what real ones suffer from: a list that lags behind, a
capacity, and a moment at which whoever uses it dies.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from loomio_backup.catalogue.objects import Digests
from loomio_backup.errors import StoreConflict, StoreFull, StoreNotFound, StoreUnavailable
from loomio_backup.stores.base import Progress, Space, Store, StoredObject, UploadMemory


class Died(BaseException):
    """The process is gone: not an Exception, so that nobody handles it."""


@dataclass
class Fuse:
    """Lets the n-th change of any store fail: the process dies before or after it, or is refused it."""

    left: int | None = None
    how: Literal["before", "after", "refused"] = "before"

    def around(self, change: Callable[[], None]) -> None:
        if self.left is None:
            change()
            return
        self.left -= 1
        if self.left > 0:
            change()
            return
        self.left = None
        if self.how == "refused":
            raise StoreUnavailable("the store did not answer.")
        if self.how == "after":
            change()
        raise Died


@dataclass
class Kept:
    """An object, and its content where that matters (manifests, pins)."""

    stored: StoredObject
    content: bytes | None


_Kept = list[Kept]  # inside the class, `list` is the method


class MemoryStore:
    """See Store. `clock` is its own; `late` are ids that its list does not show yet, `ghosts` objects that
    it shows still, although they are gone (None: its list is up to date).
    """

    def __init__(
        self, kind: Literal["local", "drive"], clock: Callable[[], datetime], capacity: int | None, fuse: Fuse
    ) -> None:
        self._kind: Literal["local", "drive"] = kind
        self._clock, self.capacity, self._fuse = clock, capacity, fuse
        self.append_only = False
        self.reachable = True
        self.kept: dict[str, Kept] = {}
        self.late: set[str] = set()
        self.ghosts: list[StoredObject] | None = None

    @property
    def kind(self) -> Literal["local", "drive"]:
        return self._kind

    def clone(self) -> Store:
        return self

    def now(self) -> datetime:
        self._ask()
        return self._clock()

    @property
    def used(self) -> int:
        return sum(kept.stored.size for kept in self.kept.values())

    def space(self) -> Space:
        self._ask()
        free = None if self.capacity is None else max(0, self.capacity - self.used)
        return Space(self.capacity, self.used, free)

    def source_path(self, name: str) -> Path | None:
        return None

    def probe(self) -> None:
        self._ask()

    def verify_access(self) -> None:
        self._ask()

    def reserve_id(self) -> str | None:
        return None if self.kind == "local" else secrets.token_hex(8)

    def claim(self, name: str, digests: Digests, content: bytes | None = None) -> StoredObject:
        """Store an object of the size that `digests` claims."""
        self._ask()
        if self.capacity is not None and self.used + digests.stored_size > self.capacity:
            raise StoreFull("no room left.")
        id_ = self.reserve_id() or name
        drive = self.kind == "drive"
        stored = StoredObject(
            name=name,
            size=digests.stored_size,
            md5=digests.stored_md5 if drive else None,
            sha256=digests.stored_sha256 if drive else None,
            id=id_ if drive else None,
            created=self._clock(),
        )
        self._fuse.around(lambda: self.kept.update({id_: Kept(stored, content)}))
        return stored

    def put(
        self,
        name: str,
        path: Path,
        digests: Digests,
        *,
        object_id: str | None = None,
        progress: Progress | None = None,
        memory: UploadMemory | None = None,
    ) -> StoredObject:
        for kept in self._listed(name):
            if kept.stored.matches(digests) and kept.content in (None, path.read_bytes()):
                return kept.stored
            raise StoreConflict(f"{name} is there with other content.")
        return self.claim(name, digests, path.read_bytes())

    def replace(self, name: str, path: Path, digests: Digests) -> StoredObject:
        for id_ in [id_ for id_, kept in self.kept.items() if kept.stored.name == name]:
            del self.kept[id_]
        return self.claim(name, digests, path.read_bytes())

    def get(
        self, name_or_object: str | StoredObject, destination: Path, progress: Progress | None = None
    ) -> StoredObject:
        self._ask()
        name = name_or_object if isinstance(name_or_object, str) else name_or_object.name
        for kept in self._named(name):
            if kept.content is not None:
                destination.write_bytes(kept.content)
                return kept.stored
        raise StoreNotFound(f"there is no {name}.")

    def list(self) -> Iterator[StoredObject]:
        self._ask()
        yield from [kept.stored for id_, kept in self.kept.items() if id_ not in self.late]
        yield from self.ghosts or []

    def stat(self, name: str, object_id: str | None = None) -> StoredObject | None:
        self._ask()
        if object_id is not None:
            kept = self.kept.get(object_id)
            return kept.stored if kept is not None else None
        found = [stored for stored in self.list() if stored.name == name]
        return found[0] if found else None

    def delete(self, stored: StoredObject) -> None:
        self._ask()
        self._fuse.around(lambda: self._forget(stored.id or stored.name))

    def lag(self, known: set[str]) -> None:
        """From now on the list shows what is gone, and lacks what came last, as far as it is `known`."""
        late = [id_ for id_, kept in self.kept.items() if kept.stored.name in known]
        self.late, self.ghosts = set(late[-4:]), self.ghosts or []

    def catch_up(self) -> None:
        """The list is up to date."""
        self.late, self.ghosts = set(), None

    # -- what happens to stores ------------------------------------------------------------------------------

    def lose(self, name: str) -> None:
        """An object disappears, and nobody of ours did it."""
        for kept in self._named(name):
            self._forget(kept.stored.id or name)

    def spoil(self, name: str) -> None:
        """The content of an object is not what it was."""
        for kept in self._named(name):
            content = secrets.token_bytes(len(kept.content or b"?"))
            kept.content = content
            if self.kind == "drive":
                sha256, md5 = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
                kept.stored = replace(kept.stored, sha256=sha256, md5=md5)

    def names(self) -> set[str]:
        return {kept.stored.name for kept in self.kept.values()}

    def doubled(self) -> set[str]:
        """Names that two objects have."""
        names = [kept.stored.name for kept in self.kept.values()]
        return {name for name in names if names.count(name) > 1}

    def _forget(self, id_: str) -> None:
        gone = self.kept.pop(id_, None)
        if gone is not None and self.ghosts is not None:
            self.ghosts.append(gone.stored)

    def _named(self, name: str) -> _Kept:
        return [kept for kept in self.kept.values() if kept.stored.name == name]

    def _listed(self, name: str) -> _Kept:
        return [kept for kept in self._named(name) if (kept.stored.id or name) not in self.late]

    def _ask(self) -> None:
        if not self.reachable:
            raise StoreUnavailable("the store did not answer.")
