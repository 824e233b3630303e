"""The measurements at full size, judged, as series of `make faults`: each returns its tables, or fails."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from loomio_backup.progress import Ticker
from tests.faults.report import Table
from tests.unit.tree_changes import Life, live, lives

from .database import measure_database
from .figures import Spread
from .increments import Increments, measure_increments
from .memory import measure_memory
from .recovery import LIMIT, Recovery, measure_recovery

DATABASE_MB = 2000
FILES = 100_000
RECOVERED_MB = 1000
"""Of database, and as many of files."""


def memory(root: Path) -> list[Table]:
    """Memory at full and at half size."""
    whole = measure_memory(root / "whole", DATABASE_MB, FILES)
    half = measure_memory(root / "half", DATABASE_MB // 2, FILES // 2)
    assert whole.within_limits, whole
    assert half.within_limits, half
    assert whole.same_as(half), (whole, half)
    rows = [
        [f"{one.database_bytes / 1e9:.1f} GB", one.files, *(f"{peak / 1e6:.0f} MB" for peak in one.peaks)]
        for one in (whole, half)
    ]
    return [Table(["database", "files", "first `run`", "next `run`", "`restore`"], rows, _MEMORY)]


def increments(root: Path) -> list[Table]:
    """Many small files for the time with nothing changed, files of a usual size for the shares."""
    small = measure_increments(root / "small", FILES, 5_000)
    usual = measure_increments(root / "usual", 10_000, 300_000)
    assert small.unchanged_within_limits, small
    assert small.bytes_within_limits, small
    assert usual.within_limits, usual
    return [Table(_INCREMENTS, [_row(small), _row(usual)])]


def database(root: Path) -> list[Table]:
    """The database part beside PostgreSQL's own dump."""
    found = measure_database(root, DATABASE_MB // 2, rounds=7)
    assert found.within_limits, found
    rows = [
        ["a container and two programs in it, seconds", *_cells(found.start)],
        ["`pg_dump -Fc -Z0 -f /dev/null` in the container, seconds", *_cells(found.baseline)],
        ["database part of a backup, seconds", *_cells(found.agent)],
        ["the last divided by the one before, per round", *_cells(found.ratio)],
    ]
    note = (
        f"Of a database of {found.database_bytes / 1e9:.1f} GB: {found.plain_bytes / 1e6:.0f} MB dumped, "
        f"{found.stored_bytes / 1e6:.0f} MB stored, {found.rounds} rounds in turns. The ratio of the "
        f"medians, which may be 2 at most, is {found.of_medians}."
    )
    return [Table(["", "least", "median", "most"], rows, note)]


def recovery(root: Path) -> list[Table]:
    """A whole recovery beside its unavoidable parts."""
    found = measure_recovery(root, RECOVERED_MB, RECOVERED_MB)
    assert found.within_limits, found
    return recovery_tables(found)


def recovery_tables(found: Recovery) -> list[Table]:
    """The split of both sides."""
    parts = found.unavoidable
    plain: list[list[object]] = [
        ["`apt-get install` of the same packages", parts.apt],
        ["`docker pull` of the same images", parts.pull],
        ["`curl` of the same objects, one stream", parts.download],
        ["`pg_restore -j` of the same dump, a job for each core", parts.pg_restore],
        ["`tar -x` of the same packs", parts.tar],
        ["sum", parts.sum],
        ["the recovery", found.seconds],
        ["divided by the sum", found.ratio],
    ]
    note = (
        f"A database of {found.database_bytes / 1e6:.0f} MB and {found.file_bytes / 1e6:.0f} MB of files; "
        f"{parts.objects} objects of {parts.object_bytes / 1e6:.0f} MB out of the lab's Drive. The plain "
        "commands ran on a second new Pi, one after the other; decryption is not counted among them. The "
        f"ratio may be {LIMIT} at most."
    )
    split: list[list[object]] = [[phase, seconds, ""] for phase, seconds in found.phases.items()]
    split += [[f"{phase}, within the restore", "", seconds] for phase, seconds in found.restore.items()]
    ours = "From the recovery's own report, in whole seconds; database and files come back side by side."
    return [Table(["", "seconds"], plain, note), Table(["phase", "seconds", "of them"], split, ours)]


def incremental(root: Path, count: int = 3000) -> list[Table]:
    """Random lives of a tree of files."""
    backups, ticker = 0, Ticker("lives of a tree of files")

    @seed(random.SystemRandom().randrange(1 << 32))
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(lives)
    def every_life(life: Life) -> None:
        nonlocal backups
        backups += live(life)
        ticker.tick(f"{backups} backups")

    every_life()
    return [Table(["", "count"], [["random lives", count], ["backups compared with the disk", backups]])]


_MEMORY = "Peaks of the summed PSS of the agent and its children; at most 150 MB."
_INCREMENTS = [
    *("files", "bytes", "first, seconds", "nothing changed, seconds", "1 % changed, seconds"),
    *("share of the first's time", "new packs / changed bytes", "index, bytes"),
]


def _row(one: Increments) -> list[object]:
    seconds = one.first_seconds, one.unchanged_seconds, one.changed_seconds
    return [one.files, one.file_bytes, *seconds, one.time_share, one.bytes_share, one.index_bytes]


def _cells(spread: Spread) -> list[object]:
    return [spread.least, spread.median, spread.most]
