"""What the drills of a store say about it: pure, from what they found and when the next one is due."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loomio_backup.config import Config
from loomio_backup.drill.drills import Drill, Scope
from loomio_backup.monitoring import freshness
from loomio_backup.monitoring.alarms import Condition

GRACE = timedelta(hours=24)
"""A drill of a large Loomio over a slow line takes hours, and a Pi may be off for a night."""
_TOLD = 3


@dataclass(frozen=True)
class DrillStatus:
    """A drill that failed. `scope`: whole or sample; `problems`: sentences."""

    backup: str
    finished_at: datetime
    scope: Scope
    problems: list[str]


@dataclass(frozen=True)
class Standing:
    """failed: the drill that counts, if it failed; unproven_since: since when a whole one should have passed,
    where drills are made on schedule and from this store; last: the newest drill, with all that it found (see
    drills.Drill).
    """

    failed: DrillStatus | None = None
    unproven_since: datetime | None = None
    last: dict[str, Any] | None = None


def standing(config: Config, kind: str, found: Sequence[Drill], began: datetime, now: datetime) -> Standing:
    """How a store stands. `found`: its drills, newest first; `began`: since when this Pi is watched."""
    return Standing(
        _failed(found),
        _unproven_since(config, kind, found, began, now),
        found[0].model_dump(mode="json") if found else None,
    )


def _failed(found: Sequence[Drill]) -> DrillStatus | None:
    """What a whole drill found wrong is not put right by a sample, which may just have missed it."""
    for drill in found:
        if not drill.passed:
            return DrillStatus(drill.backup, drill.finished_at, drill.scope, drill.problems)
        if drill.scope == "whole":
            return None
    return None


def _unproven_since(
    config: Config, kind: str, found: Sequence[Drill], began: datetime, now: datetime
) -> datetime | None:
    schedule = config.verify.schedule
    if schedule is None or kind != ("drive" if config.stores.drive else "local"):
        return None
    proven = next((drill.finished_at for drill in found if drill.proves), None)
    due = freshness.firing(config, schedule, began if proven is None else max(proven, began)) + GRACE
    return due if now > due else None


def conditions(
    config: Config,
    kind: str,
    found: Standing,
    verified: tuple[str, datetime] | None,
    last_error: str | None,
    places: Mapping[str, str],
    at: Callable[[datetime | None], str],
) -> Iterator[Condition]:
    """The alarms about it. `verified`: the last backup that a whole drill proved, and when; `last_error`: why
    the last drill came to no end, if it did not.
    """
    place = places[kind]
    last = (
        f"The last that was proven to come back is {verified[0]}, {at(verified[1])}."
        if verified
        else "None there has been proven to come back yet."
    )
    if found.failed is not None:
        drill, problems = found.failed, found.failed.problems[:_TOLD]
        if len(drill.problems) > _TOLD:
            problems = [*problems, f"and {len(drill.problems) - _TOLD} more"]
        yield Condition(
            f"drill-{kind}",
            f"The drill of {at(drill.finished_at)} failed: {drill.backup} does not come back from {place} as "
            f"it should: {'; '.join(problems)}. {last} Loomio itself is untouched. Make a new backup with "
            f"loomio-backup run, then prove it with loomio-backup verify --store {kind}",
        )
    elif found.unproven_since is not None:
        how = (
            "On your computer type: loomio-pi deploy verify"
            if config.verify.offline_key
            else "Type: loomio-backup verify"
        )
        why = "" if last_error is None else f"The last try came to no end: {last_error.rstrip('.')}. "
        yield Condition(
            f"proof-{kind}",
            f"No backup in {place} has been restored for proof lately: a whole drill should have passed by "
            f"{at(found.unproven_since)}. {last} {why}Backups are still made. {how}",
        )
