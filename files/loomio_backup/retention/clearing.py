"""Clearing up: objects of ours that nothing refers to are marked, and removed days later.

What interrupted runs leave is ended by the next run, which knows what it was. What nobody remembers (the
catalogue was lost, or another machine removed a backup) is found here. Whoever looks on from another machine
cannot know what a run in progress is about to refer to. So a mark has to be at least seven days old, and a
backup that was made since has to have done without the object.

Files of people are never touched, and of the older scripts' `.sql.enc` files only those that we wrote.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.retention.holding import Holding
from loomio_backup.retention.removal import Remover
from loomio_backup.retention.retention import CLOCKS
from loomio_backup.stores import StoredObject

WAIT = timedelta(days=7)

_OF_BACKUP = re.compile(
    r"(loomio_backup_\d{8}_\d{6})\.(?:dump\.zst\.age|config\.tar\.zst\.age|sql\.enc|manifest\.age|pin\.age)"
)
_SHARED = re.compile(r"app-data_[0-9a-f]{32}\.tar\.zst\.age|app-data-index_[0-9a-f]{32}\.ndjson\.zst\.age")


@dataclass(frozen=True)
class Clearing:
    """Objects that nothing refers to: those that may go now, and those that have to wait."""

    ripe: tuple[StoredObject, ...]
    waiting: tuple[StoredObject, ...]


def is_ours(name: str) -> bool:
    """Whether an object's name says that a backup may need it. Keyrings are not among them: rotation removes
    those that are superseded, and nothing else may.
    """
    return (_OF_BACKUP.fullmatch(name) or _SHARED.fullmatch(name)) is not None


def look(catalogue: Catalogue, holding: Holding, in_need: bool = False) -> Clearing:
    """What nothing refers to, judged by the marks so far. In need, only the marks' age counts."""
    now = holding.state.now
    marks = _marks(catalogue, holding.store.kind)
    moments = [summary.snapshot_at for summary in holding.history.backups]
    latest = max((moment for moment in moments if moment <= now + CLOCKS), default=None)
    ripe: list[StoredObject] = []
    waiting: list[StoredObject] = []
    for stored in unneeded(catalogue, holding):
        marked = marks.get((stored.name, stored.id or ""))
        old = marked is not None and marked <= now - WAIT
        outlived = marked is not None and latest is not None and latest > marked
        (ripe if old and (outlived or in_need) else waiting).append(stored)
    return Clearing(tuple(ripe), tuple(waiting))


def clear(catalogue: Catalogue, remover: Remover, holding: Holding, in_need: bool = False) -> Clearing:
    """Remove what is ripe, mark the rest, and forget the marks of what is needed again. Raises StoreError."""
    found = look(catalogue, holding, in_need)
    kind, now = holding.store.kind, holding.state.now
    marks = _marks(catalogue, kind)
    still = {(stored.name, stored.id or "") for stored in found.waiting}
    with catalogue.transaction() as database:
        for name, id_ in marks.keys() - still - {(stored.name, stored.id or "") for stored in found.ripe}:
            database.execute("DELETE FROM marks WHERE store = ? AND object = ? AND id = ?", (kind, name, id_))
        for name, id_ in still:
            # A mark from the future was made by a clock that has been put right since.
            if (name, id_) not in marks or marks[name, id_] > now + CLOCKS:
                database.execute(
                    "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", (kind, name, id_, now.isoformat())
                )
    for stored in found.ripe:
        remover.delete_one(holding, stored)
        catalogue.database.execute(
            "DELETE FROM marks WHERE store = ? AND object = ? AND id = ?",
            (kind, stored.name, stored.id or ""),
        )
    return found


def unneeded(catalogue: Catalogue, holding: Holding) -> list[StoredObject]:
    """Objects of ours that no backup needs, marked or not."""
    history = holding.history
    backups = {summary.name for summary in history.backups}
    found = [stored for stored in history.objects.values() if not _needed(stored.name, backups, holding)]
    # Of two objects of one name the other one counts; nothing refers to this one.
    found += history.duplicates
    return sorted(
        (stored for stored in found if is_ours(stored.name) and _written_here(catalogue, stored)),
        key=lambda stored: (stored.name, stored.id or ""),
    )


def _needed(name: str, backups: set[str], holding: Holding) -> bool:
    of_backup = _OF_BACKUP.fullmatch(name)
    if of_backup is not None:
        return of_backup[1] in backups
    return holding.needed_by[name] > 0 or name in holding.state.in_use


def _written_here(catalogue: Catalogue, stored: StoredObject) -> bool:
    """The older scripts' files have the same names as ours of that format: only what we know we wrote."""
    if not stored.name.endswith(".sql.enc"):
        return True
    entry = catalogue.entry(stored.name)
    return entry is not None and stored.matches(entry.digests)


def _marks(catalogue: Catalogue, kind: str) -> dict[tuple[str, str], datetime]:
    rows = catalogue.database.execute("SELECT object, id, marked_at FROM marks WHERE store = ?", (kind,))
    return {(name, id_): datetime.fromisoformat(marked_at) for name, id_, marked_at in rows}
