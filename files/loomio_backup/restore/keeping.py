"""What restores keep aside: written down in the catalogue, so that `status` can say how much room it takes
and since when, and let go of when a person or the setting says so.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from loomio_backup import clock, docker
from loomio_backup.backup.appdata import resolve_roots
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import AppDataSource, Config
from loomio_backup.database import database_helper
from loomio_backup.database.postgres import MAINTENANCE_DATABASE
from loomio_backup.database.psql import identifier, literal, session
from loomio_backup.docker import Helper
from loomio_backup.progress import bytes_text, say
from loomio_backup.restore import restore_journal
from loomio_backup.restore.restore_journal import Journal
from loomio_backup.state import StateDirectory

_META = "kept aside"


@dataclass(frozen=True)
class Kept:
    """What one restore (or undo) replaced. `since`: when it did; `backup`: the one that it brought (or whose
    restore was undone). `database`: the name that the old one has now, if there was one; `files`: directories
    that keep what was in the roots, by source. bytes: of both, on the disk, when it was put aside.
    """

    id: str
    since: datetime
    backup: str
    bytes: int
    database: str | None = None
    files: dict[str, str] = field(default_factory=dict)


def kept(catalogue: Catalogue) -> list[Kept]:
    """All of it, oldest first."""
    documents: list[dict[str, Any]] = json.loads(catalogue.meta(_META) or "[]")
    return [Kept(**{**one, "since": datetime.fromisoformat(one["since"])}) for one in documents]


def note(catalogue: Catalogue, journal: Journal, database_bytes: int) -> None:
    """A switch is done: what it replaced is kept, and what it brought is no longer aside (after an undo).
    May be said again.
    """
    brought = {str(root / name) for root, name in _staged(journal)}
    others = [
        one
        for one in kept(catalogue)
        if one.id != journal.id
        and one.database != journal.new
        and not brought.intersection(one.files.values())
    ]
    if journal.keep_aside or journal.kept:
        size = database_bytes + sum(_bytes_below(Path(place)) for place in journal.kept.values())
        database = journal.aside if journal.keep_aside else None
        others.append(Kept(journal.id, clock.now(), journal.backup, size, database, dict(journal.kept)))
    rewrite(catalogue, others)


def database_bytes(helper: Helper, journal: Journal) -> int:
    """What the database that was put aside takes; 0 where none was."""
    if not journal.keep_aside:
        return 0
    size = f"SELECT to_json(pg_database_size({literal(journal.aside)}))"
    with session(helper, MAINTENANCE_DATABASE) as sql:
        return int(sql.value(size))


def forgotten(catalogue: Catalogue) -> None:
    """Nothing is kept any more."""
    rewrite(catalogue, [])


def goes_on(config: Config, one: Kept) -> datetime | None:
    """When it is let go of by itself; None for never."""
    return one.since + timedelta(days=config.keep_replaced_days) if config.keep_replaced_days else None


def due(config: Config, catalogue: Catalogue) -> list[Kept]:
    """What the setting lets go of now."""
    now = clock.now()
    return [one for one in kept(catalogue) if (until := goes_on(config, one)) is not None and until <= now]


def let_go(config: Config, state: StateDirectory, catalogue: Catalogue) -> None:
    """Remove what is due. For whoever holds the lock, with an empty spool and no restore under way."""
    old = due(config, catalogue)
    if not old:
        return
    last = restore_journal.load(state.path / restore_journal.LAST)
    if last is not None and last.id in {one.id for one in old}:
        # First: an undo must not begin that lacks half of what it needs.
        (state.path / restore_journal.LAST).unlink()
    roots = resolve_roots([source for source in config.app_data if _is_there(source)])
    with database_helper.opened(config, state.spool) as helper:
        for one in old:
            if one.database is not None:
                with session(helper, MAINTENANCE_DATABASE) as sql:
                    sql.execute(f"DROP DATABASE IF EXISTS {identifier(one.database)} WITH (FORCE)")
            for name, place in one.files.items():
                # Never anywhere else, should a source have moved since.
                if name in roots and Path(place).parent == roots[name] and Path(place).exists():
                    shutil.rmtree(place)
            rewrite(catalogue, [other for other in kept(catalogue) if other.id != one.id])
            say(
                f"what was here before the restore of {one.backup} ({bytes_text(one.bytes)}) was kept for "
                f"{config.keep_replaced_days} days and is let go of now (backup.keep_replaced_days)"
            )


def _is_there(source: AppDataSource) -> bool:
    return source.volume is None or docker.volume_mountpoint(source.volume) is not None


def _staged(journal: Journal) -> list[tuple[Path, str]]:
    return [(root, journal.staged[name]) for name, root in journal.roots.items() if name in journal.staged]


def _bytes_below(directory: Path) -> int:
    """What the files take; one that disappears meanwhile takes nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def rewrite(catalogue: Catalogue, entries: list[Kept]) -> None:
    """Put these in the place of what is written down."""
    documents = [{**asdict(one), "since": one.since.isoformat()} for one in entries]
    catalogue.set_meta(_META, json.dumps(documents) if documents else None)
