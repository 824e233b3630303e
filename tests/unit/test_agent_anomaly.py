"""When a backup's content has collapsed, and when it only looks so in a tiny or a busy Loomio."""

from __future__ import annotations

from typing import Any

import pytest

from loomio_backup.backup.anomaly import judge
from loomio_backup.catalogue.manifest import AppDataContent, DatabaseContent, Manifest, SourceContent

from .agent_samples import manifest, object_entry

TABLES = {
    "public.users": 400,
    "public.comments": 5000,
    "public.taggings": 300,
    "public.solid_cache_entries": 9000,
}


def _backup(sequence: int = 9, migration: str = "1", dump: int = 10_000_000, **changes: Any) -> Manifest:
    """A backup of a Loomio of some size; `changes` are rows of tables (by bare name, None: absent), or files
    and bytes of a source.
    """
    tables: dict[str, int] = dict(TABLES)
    sources = {
        "storage": SourceContent(files=1000, bytes=900_000_000),
        "uploads": SourceContent(files=30, bytes=6_000_000),
    }
    for key, value in changes.items():
        if key in sources:
            sources[key] = SourceContent(files=value[0], bytes=value[1])
        elif value is None:
            del tables[f"public.{key}"]
        else:
            tables[f"public.{key}"] = value
    return manifest(
        name=f"backup-{sequence}",
        sequence=sequence,
        database=DatabaseContent(
            name="loomio_production",
            postgresql_version="17",
            server_version_num=170000,
            schema_migration=migration,
            tables=tables,
        ),
        app_data=AppDataContent(
            sources=sorted(sources),
            files=sum(content.files for content in sources.values()),
            directories=1,
            symlinks=0,
            bytes=sum(content.bytes for content in sources.values()),
            changed_while_read=[],
            by_source=sources,
        ),
        objects=[object_entry("dump", "database", plain_size=dump)],
    )


PREVIOUS = [_backup(number) for number in range(1, 9)]


@pytest.mark.parametrize(
    ("changes", "measures"),
    [
        ({}, []),
        ({"users": 200, "comments": 2500}, []),
        (
            {"users": 199},
            ["rows in public.users: backup-9 holds 199, the last 7 backups before it held 400 (median)"],
        ),
        ({"comments": 40}, ["rows: backup-9 holds 740, the last 7 backups", "rows in public.comments"]),
        ({"comments": None}, ["rows: ", "rows in public.comments: backup-9 holds 0"]),
        (
            {"storage": (0, 0)},
            [
                "app-data files: ",
                "app-data bytes: backup-9 holds 6.0 MB",
                "files in storage",
                "bytes in storage",
            ],
        ),
        (
            {"uploads": (0, 0)},
            ["files in uploads: backup-9 holds 0", "bytes in uploads: backup-9 holds 0 bytes"],
        ),
        (
            {"dump": 4_000_000},
            ["database dump: backup-9 holds 4.0 MB, the last 7 backups before it held 10.0 MB"],
        ),
        # A cache that was cleared, a small side table, and growth are nobody's loss.
        ({"solid_cache_entries": 0, "taggings": 0, "dump": 1_000_000}, []),
        ({"comments": 500_000, "storage": (9000, 10**12)}, []),
        # After an update, a table that is gone was renamed; its rows are still counted in the sum.
        ({"migration": "2", "comments": None, "posts": 5000}, []),
        ({"migration": "2", "users": 3}, ["rows in public.users"]),
    ],
)
def test_collapses(changes: dict[str, Any], measures: list[str]) -> None:
    found = judge(_backup(**changes), PREVIOUS, 50)
    assert len(found) == len(measures), found
    for sentence, start in zip(found, measures, strict=True):
        assert sentence.startswith(start), found


def test_nothing_to_compare_with_is_no_collapse() -> None:
    assert judge(_backup(comments=0), [], 50) == []


def test_percent_is_the_threshold_and_0_means_never() -> None:
    ruins = _backup(users=0, comments=0, storage=(0, 0), uploads=(0, 0), dump=1)
    assert judge(ruins, PREVIOUS, 0) == []
    assert judge(ruins, PREVIOUS, 1) != []
    assert judge(_backup(users=395), PREVIOUS, 99) != []


def test_a_single_odd_backup_does_not_set_the_measure() -> None:
    odd = [*PREVIOUS[:-1], _backup(8, comments=10_000_000)]
    assert judge(_backup(), odd, 50) == []


def test_only_the_last_seven_count_whatever_their_order() -> None:
    large = [_backup(number, comments=900_000) for number in range(1, 30)]
    recent = [_backup(number) for number in range(30, 37)]
    assert judge(_backup(37), [*recent, *large], 50) == []


def test_a_tiny_loomio_does_not_cry_wolf() -> None:
    tiny = [manifest(sequence=number) for number in range(1, 8)]
    empty = DatabaseContent(
        name="l",
        postgresql_version="17",
        server_version_num=170000,
        schema_migration="1",
        tables={"public.users": 1},
    )
    assert judge(manifest(sequence=8, database=empty), tiny, 100) == []


def test_backups_of_programs_that_did_not_count_by_source_are_compared_in_sum() -> None:
    old = [
        backup.model_copy(update={"app_data": backup.app_data.model_copy(update={"by_source": {}})})
        for backup in PREVIOUS
    ]
    assert judge(_backup(uploads=(0, 0)), old, 50) == []
    assert [sentence[:14] for sentence in judge(_backup(storage=(0, 0)), old, 50)] == [
        "app-data files",
        "app-data bytes",
    ]
