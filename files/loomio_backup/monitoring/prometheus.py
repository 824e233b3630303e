"""The state of the backups as a text file for Prometheus (node_exporter's textfile collector) and Netdata.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text based). No secret is in it:
everybody on the Pi may read it.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from loomio_backup.monitoring.conditions import excuse
from loomio_backup.monitoring.status import RunStatus, Status

_PREFIX = "loomio_backup_"


def write(status: Status, alarms_open: int, path: Path) -> None:
    """Write the file so that a reader finds the old one or the new one, never half of one. Raises OSError."""
    # The collector takes what ends in .prom; this name does not.
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text(status, alarms_open))
            os.fchmod(file.fileno(), 0o644)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def text(status: Status, alarms_open: int) -> str:
    """All metrics. Times are seconds since 1970 in UTC, sizes bytes; what is not known is left out."""
    lines: list[str] = []
    for name, help_, samples in [*_whole(status, alarms_open), *_by_store(status)]:
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            lines += [f"# HELP {_PREFIX}{name} {help_}", f"# TYPE {_PREFIX}{name} gauge"]
            lines += [f"{_PREFIX}{name}{labels} {value!r}" for labels, value in known]
    return "\n".join(lines) + "\n"


_Family = tuple[str, str, Sequence[tuple[str, float | None]]]


def _whole(status: Status, alarms_open: int) -> Iterator[_Family]:
    run = status.run("run")

    def one(name: str, help_: str, value: float | None) -> _Family:
        return name, help_, [("", value)]

    yield one("written_timestamp_seconds", "When this was written.", status.at.timestamp())
    yield one("alarms_open", "Alarms that are open.", float(alarms_open))
    yield one(
        "frozen", "1: retention is frozen, because the data collapsed.", float(status.frozen is not None)
    )
    yield one("running", "1: a backup, a restore or a pruning is running.", float(status.running is not None))
    yield one("clock_synchronised", "1: the network has set the clock.", float(status.clock_synchronised))
    yield one("disk_free_bytes", "Free on the disk that backups are made on.", float(status.disk_free_bytes))
    yield one("disk_needed_bytes", "Below this no backup is made.", float(status.disk_needed_bytes))
    if run is not None:
        yield one("last_run_success", "1: the last backup run was complete in every store.", _success(run))
        yield one("last_run_start_timestamp_seconds", "When it began.", run.started_at.timestamp())
        if run.finished_at is not None:
            took = (run.finished_at - run.started_at).total_seconds()
            yield one("last_run_end_timestamp_seconds", "When it ended.", run.finished_at.timestamp())
            yield one("last_run_duration_seconds", "How long it took.", took)


def _success(run: RunStatus) -> float | None:
    return None if run.outcome == "running" else float(run.outcome == "complete")


def _by_store(status: Status) -> Iterator[_Family]:
    stores = status.stores

    def each(name: str, help_: str, values: Sequence[float | None]) -> _Family:
        labels = [f'{{store="{store.store}"}}' for store in stores]
        return name, help_, list(zip(labels, values, strict=True))

    yield each("reachable", "1: the store could be read.", [float(one.problem is None) for one in stores])
    yield each(
        "newest_timestamp_seconds",
        "Snapshot of the newest complete backup.",
        [one.newest_at.timestamp() if one.newest_at else None for one in stores],
    )
    yield each("newest_age_seconds", "Its age when this was written.", [one.age_seconds for one in stores])
    yield each(
        "due_timestamp_seconds",
        "When the next backup is due.",
        [one.due_at.timestamp() if one.due_at else None for one in stores],
    )
    yield each(
        "late",
        "1: the next backup should be there by now.",
        [float(one.late_since is not None and excuse(status, one) is None) for one in stores],
    )
    yield each("backups", "Backups in the store.", [float(one.backups) for one in stores])
    yield each(
        "incomplete_backups", "Backups that lack objects.", [float(len(one.incomplete)) for one in stores]
    )
    yield each(
        "missing_backups",
        "Backups that disappeared or cannot be read.",
        [float(len(one.missing) + len(one.unreadable)) for one in stores],
    )
    yield each("pinned_backups", "Backups that are pinned.", [float(len(one.pinned)) for one in stores])
    yield each("stored_bytes", "All objects together.", [_float(one.bytes) for one in stores])
    yield each("free_bytes", "Free on its disk or account.", [_float(one.free_bytes) for one in stores])
    yield each("used_bytes", "Used on its disk or account.", [_float(one.used_bytes) for one in stores])
    yield each("total_bytes", "Size of its disk or account.", [_float(one.total_bytes) for one in stores])
    yield each(
        "verified_timestamp_seconds",
        "When a restore for proof passed last.",
        [one.verified_at.timestamp() if one.verified_at else None for one in stores],
    )
    yield each(
        "drill_failed",
        "1: a restore for proof failed, and none has passed since.",
        [float(one.drills.failed is not None) for one in stores],
    )
    yield each(
        "unproven",
        "1: a whole restore for proof should have passed by now.",
        [float(one.drills.unproven_since is not None) for one in stores],
    )


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)
