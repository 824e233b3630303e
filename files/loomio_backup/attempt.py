"""What a backup in the making has written so far, kept in the catalogue: if it dies, the next run knows what
nobody else can refer to.

Names are written down before the objects are sent anywhere. Packs are told apart: the next backup can use
them, so only those that it does not need are left over in the end.
"""

import json
from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from loomio_backup.catalogue import Catalogue
from loomio_backup.manifest import SUFFIX, ObjectEntry
from loomio_backup.objects import Digests

_ATTEMPTS = "attempts"
_LEFTOVERS = "leftovers"
_WAITING = "waiting packs"
_COPIES = "unfinished copies"


@dataclass(frozen=True)
class Attempt:
    """A backup that has no manifest yet, as far as is known: the names of its own objects and of the packs
    that it wrote; its manifest, once that was sealed.
    """

    backup: str
    objects: list[str] = field(default_factory=list)
    packs: list[str] = field(default_factory=list)
    manifest: Digests | None = None

    @property
    def manifest_name(self) -> str:
        """The object that would make a backup of all this."""
        return self.backup + SUFFIX


class Attempts:
    """The attempts that came to no end that we know of, oldest first; a backup in the making is the last."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def unfinished(self) -> list[Attempt]:
        """All of them."""
        documents: list[dict[str, Any]] = json.loads(self._catalogue.meta(_ATTEMPTS) or "[]")
        for document in documents:
            if document["manifest"] is not None:
                document["manifest"] = Digests(**document["manifest"])
        return [Attempt(**document) for document in documents]

    def leftovers(self) -> list[str]:
        """Objects that no manifest refers to, or will."""
        names: list[str] = json.loads(self._catalogue.meta(_LEFTOVERS) or "[]")
        return names

    def begin(self, backup: str) -> None:
        """A backup is begun."""
        self._set([*self.unfinished(), Attempt(backup)])

    def wrote(self, entry: ObjectEntry) -> None:
        """The backup in the making has written an object, which lies in the spool."""
        with self._catalogue.transaction():
            self._catalogue.add_object(entry)
            *others, running = self.unfinished()
            if entry.kind == "pack":
                running = replace(running, packs=[*running.packs, entry.name])
            else:
                running = replace(running, objects=[*running.objects, entry.name])
            self._set([*others, running])

    def sealed(self, manifest: Digests) -> None:
        """The manifest of the backup in the making lies in the spool, and is about to be sent."""
        *others, running = self.unfinished()
        self._set([*others, replace(running, manifest=manifest)])

    def adopted(self, attempt: Attempt) -> None:
        """The manifest of an attempt is in a store after all: it is a backup."""
        self._set([other for other in self.unfinished() if other != attempt])

    def abandoned(self, attempt: Attempt) -> None:
        """An attempt has no manifest anywhere: its objects are left over, its packs wait for a backup that
        needs them.
        """
        with self._catalogue.transaction():
            self.adopted(attempt)
            self._leave([*attempt.objects, attempt.manifest_name])
            self._wait(attempt.packs)

    def finished(self, needed: Set[str]) -> None:
        """The last attempt is a backup, which needs these objects."""
        with self._catalogue.transaction():
            *others, running = self.unfinished()
            self._set([replace(other, packs=[p for p in other.packs if p not in needed]) for other in others])
            waiting = [*self.waiting(), *running.packs]
            self._leave(name for name in waiting if name not in needed)
            self._catalogue.set_meta(_WAITING, None)

    def copying(self, store: str, backup: str) -> None:
        """A backup that exists is about to be brought into a store."""
        with self._catalogue.transaction():
            self._keep(
                _COPIES, [*(list(other) for other in self.copies() - {(store, backup)}), [store, backup]]
            )

    def copied(self, store: str, backup: str) -> None:
        """Nothing is left to do about a copy: it is complete, or what there was of it is gone."""
        with self._catalogue.transaction():
            self._keep(_COPIES, [list(other) for other in self.copies() - {(store, backup)}])

    def copies(self) -> set[tuple[str, str]]:
        """(store, backup) of the copies that were begun and not finished."""
        return {(store, backup) for store, backup in json.loads(self._catalogue.meta(_COPIES) or "[]")}

    def gone(self, name: str) -> None:
        """A leftover is in no store any more."""
        self._keep(_LEFTOVERS, [other for other in self.leftovers() if other != name])

    def waiting(self) -> list[str]:
        """Packs of abandoned attempts that the next backup may need."""
        names: list[str] = json.loads(self._catalogue.meta(_WAITING) or "[]")
        return names

    def _set(self, attempts: list[Attempt]) -> None:
        self._keep(_ATTEMPTS, [asdict(attempt) for attempt in attempts])

    def _leave(self, names: Iterable[str]) -> None:
        self._keep(_LEFTOVERS, list(dict.fromkeys([*self.leftovers(), *names])))

    def _wait(self, packs: Iterable[str]) -> None:
        self._keep(_WAITING, list(dict.fromkeys([*self.waiting(), *packs])))

    def _keep(self, key: str, documents: list[Any]) -> None:
        self._catalogue.set_meta(key, json.dumps(documents) if documents else None)
