"""What a backup in the making has written so far, kept in the catalogue: if it dies, the next run knows what
nobody else can refer to.

Names are written down before the objects are sent anywhere. Packs are told apart: the next backup can use
them, so only those that it does not need are left over in the end.
"""

import json
from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import SUFFIX, Manifest, ObjectEntry
from loomio_backup.catalogue.objects import Digests

_ATTEMPTS = "attempts"
_LEFTOVERS = "leftovers"
_WAITING = "waiting packs"
_COPIES = "unfinished copies"
_PINS = "pins due"


@dataclass(frozen=True)
class Attempt:
    """A backup that has no manifest yet, as far as is known: the names of its own objects and of the packs
    that it wrote. Once its manifest was sealed: that, its generation and sequence, every object that it needs
    (packs of others, too), and why it is to be pinned, if it is.
    """

    backup: str
    objects: list[str] = field(default_factory=list)
    packs: list[str] = field(default_factory=list)
    manifest: Digests | None = None
    order: tuple[int, int] = (0, 0)
    needs: list[str] = field(default_factory=list)
    pin: str | None = None

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
            document["order"] = tuple(document["order"])
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

    def sealed(self, digests: Digests, manifest: Manifest, pin: str | None) -> None:
        """The manifest of the backup in the making lies in the spool, and is about to be sent. `pin`: why the
        backup is to be pinned.
        """
        *others, running = self.unfinished()
        needs = [entry.name for entry in manifest.objects]
        sealed = replace(running, manifest=digests, order=manifest.order, needs=needs, pin=pin)
        self._set([*others, sealed])

    def adopted(self, attempt: Attempt) -> None:
        """The manifest of an attempt is in a store after all: it is a backup, and what it needs is nobody's
        to remove.
        """
        with self._catalogue.transaction():
            needs = {*attempt.needs, *attempt.objects, *attempt.packs}
            others = [other for other in self.unfinished() if other != attempt]
            self._set([_without(other, needs) for other in others])
            self._keep(_WAITING, [name for name in self.waiting() if name not in needs])
            self._keep(_LEFTOVERS, [name for name in self.leftovers() if name not in needs])
            if attempt.pin is not None:
                self._keep(_PINS, [*self.pins_due(), [attempt.backup, attempt.pin]])

    def abandoned(self, attempt: Attempt) -> None:
        """An attempt has no manifest anywhere: its objects are left over, its packs wait for a backup that
        needs them.
        """
        with self._catalogue.transaction():
            self._set([other for other in self.unfinished() if other != attempt])
            self._leave([*attempt.objects, attempt.manifest_name])
            self._wait(attempt.packs)

    def finished(self, needed: Set[str]) -> None:
        """The last attempt is a backup, which needs these objects."""
        with self._catalogue.transaction():
            *others, running = self.unfinished()
            self._set([_without(other, needed) for other in others])
            # One of the others may turn out to be a backup, too, when its store is back.
            perhaps = {name for other in others for name in other.needs}
            waiting = [name for name in [*self.waiting(), *running.packs] if name not in needed]
            self._leave(name for name in waiting if name not in perhaps)
            self._keep(_WAITING, [name for name in waiting if name in perhaps])

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

    def pins_due(self) -> list[list[str]]:
        """[backup, reason] of adopted backups that were to be pinned."""
        pins: list[list[str]] = json.loads(self._catalogue.meta(_PINS) or "[]")
        return pins

    def pinned(self, backup: str) -> None:
        """A pin that was due is in the stores."""
        self._keep(_PINS, [due for due in self.pins_due() if due[0] != backup])

    def last_sequence(self, generation: int) -> int:
        """The highest sequence number of this generation that a sealed manifest may have used."""
        numbers = [one.order[1] for one in self.unfinished() if one.manifest and one.order[0] == generation]
        return max(numbers, default=0)

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


def _without(attempt: Attempt, needed: Set[str]) -> Attempt:
    """The attempt without the packs that a backup needs: they are not its to leave behind any more."""
    return replace(attempt, packs=[name for name in attempt.packs if name not in needed])
