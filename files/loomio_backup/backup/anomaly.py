"""Has the data collapsed? Pure: one backup against those before it.

A backup that works perfectly can still hold the ruins: somebody deleted the wrong group, a volume came up
empty, a migration went wrong. Retention would then let the good backups go, one by one. So whoever finds
something here pins the older backups and freezes retention until a person has looked.
"""

import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loomio_backup.catalogue.manifest import Manifest, SourceContent
from loomio_backup.progress import bytes_text

COMPARED = 7
"""How many of the last backups the median is taken of: a single odd one among them then decides nothing."""

ACCEPTED = "collapse_accepted"
"""Where the catalogue notes which backup (`generation.sequence`) a person found to be as it should be: those
before it are no measure any more.
"""
_PASSING = re.compile(
    r"(sessions|login_tokens|delayed_jobs|schema_migrations|ar_internal_metadata|pg_search_\w+|solid_\w+|ahoy_\w+"
    r"|translations)"
)
"""Tables that Loomio fills and empties by itself: caches, queues, indexes. They collapse every day."""
_WORK = frozenset(
    "users groups memberships topics discussions comments polls stances active_storage_attachments".split()
)
"""Tables of people's work: a loss there matters while it is still too small to show in the sum."""
_BIG_TABLE = 20
"""Another table is looked at on its own when it has at least one row in so many of all."""


@dataclass(frozen=True)
class _Measure:
    """Something that a backup has much of. Medians below `least` are too small to judge: in a tiny Loomio one
    deleted discussion is half of everything.
    """

    what: str
    least: float
    of: Callable[[Manifest], int | None]
    text: Callable[[int], str] = str


def judge(manifest: Manifest, previous: Sequence[Manifest], percent: int) -> list[str]:
    """A sentence for each measure (rows, files, bytes, single tables and sources) of which the backup holds
    less than `percent` % of the median of the last backups in `previous` (in any order; of the same Loomio).
    Empty when all is well, when there is nothing to compare with, and always when `percent` is 0.
    """
    last = sorted(previous, key=lambda backup: backup.order)[-COMPARED:]
    if not last:
        return []
    found = [_judge_one(measure, manifest, last, percent) for measure in _measures(manifest, last)]
    return [sentence for sentence in found if sentence is not None]


def accepted(noted: str | None) -> tuple[int, int]:
    """The backup from which on others are a measure, by what is noted as ACCEPTED."""
    generation, _, sequence = (noted or "0.0").partition(".")
    return int(generation), int(sequence)


def _judge_one(measure: _Measure, manifest: Manifest, last: Sequence[Manifest], percent: int) -> str | None:
    now = measure.of(manifest)
    before = [count for count in map(measure.of, last) if count is not None]
    if now is None or not before:
        return None
    usual = round(statistics.median(before))
    if usual < measure.least or now * 100 >= usual * percent:
        return None
    backups = "backup" if len(before) == 1 else f"{len(before)} backups"
    return (
        f"{measure.what}: {manifest.name} holds {measure.text(now)}, the last {backups} before it held "
        f"{measure.text(usual)}{' (median)' if len(before) > 1 else ''}."
    )


def _measures(manifest: Manifest, last: Sequence[Manifest]) -> Iterator[_Measure]:
    yield _Measure("rows", 200, lambda backup: sum(_counted(backup).values()))
    yield _Measure("app-data files", 20, lambda backup: backup.app_data.files)
    yield _Measure("app-data bytes", 5_000_000, lambda backup: backup.app_data.bytes, bytes_text)
    yield _Measure("database dump", 5_000_000, _dump(manifest, last[-1]), bytes_text)
    for source in manifest.app_data.sources:
        # One volume that came up empty can hide behind another that is large.
        yield _Measure(f"files in {source}", 20, _of_source(source, lambda content: content.files))
        yield _Measure(
            f"bytes in {source}", 5_000_000, _of_source(source, lambda content: content.bytes), bytes_text
        )
    rows = statistics.median(sum(_counted(backup).values()) for backup in last)
    for table in sorted(_counted(last[-1])):
        least = 10 if _bare(table) in _WORK else max(1000, rows / _BIG_TABLE)
        yield _Measure(f"rows in {table}", least, _table(table, manifest))


def _counted(backup: Manifest) -> dict[str, int]:
    return {
        table: rows for table, rows in backup.database.tables.items() if not _PASSING.fullmatch(_bare(table))
    }


def _bare(table: str) -> str:
    return table.removeprefix("public.")


def _dump(manifest: Manifest, before: Manifest) -> Callable[[Manifest], int | None]:
    def size(backup: Manifest) -> int | None:
        return None if cleared else backup.only("database").plain_size

    # A cache can be most of a dump; after it was cleared, only the rows can tell.
    passing = [table for table in before.database.tables if _PASSING.fullmatch(_bare(table))]
    now, then = manifest.database.tables, before.database.tables
    cleared = any(then[table] >= 100 and now.get(table, 0) < then[table] / 2 for table in passing)
    return size


def _table(table: str, newest: Manifest) -> Callable[[Manifest], int | None]:
    def rows(backup: Manifest) -> int | None:
        known = backup.database.tables
        migrated = backup.database.schema_migration != newest.database.schema_migration
        # A migration renames and drops tables; without one, a table that is gone has lost all its rows.
        gone = newest.database.tables.get(table) is None
        return None if gone and migrated else known.get(table, 0)

    return rows


def _of_source(source: str, count: Callable[[SourceContent], int]) -> Callable[[Manifest], int | None]:
    def counted(backup: Manifest) -> int | None:
        content = backup.app_data
        if source in content.by_source:
            return count(content.by_source[source])
        # Backups of older programs do not count by source.
        return 0 if source in content.sources and content.by_source else None

    return counted
