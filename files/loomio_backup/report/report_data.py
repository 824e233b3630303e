"""What the recovery report shows, gathered from the stores and the catalogue; and what follows from it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.drill import drills
from loomio_backup.drill.drills import Drill
from loomio_backup.errors import AgentError
from loomio_backup.monitoring import freshness
from loomio_backup.monitoring.status import Status
from loomio_backup.monitoring.status_text import Look
from loomio_backup.monitoring.store_status import Opened, figures
from loomio_backup.retention.forecast import Used
from loomio_backup.retention.prune import Pruner, Report
from loomio_backup.state import StateDirectory

RECENT = timedelta(days=90)
"""So far back runs and gaps are told; backups that still exist, drills and room are told whole."""


@dataclass(frozen=True)
class Backup:
    """One backup that some store holds. seconds: how long it took to make; bytes: of all objects it needs."""

    name: str
    at: datetime
    label: str | None
    rows: int
    files: int
    bytes: int
    seconds: float
    stores: tuple[str, ...]
    warnings: int


@dataclass(frozen=True)
class Ran:
    """One run of a verb that did not end well."""

    verb: str
    at: datetime
    outcome: str
    error: str


@dataclass(frozen=True)
class Gap:
    """A time in which a backup was due and none was made. `until` is None while it lasts."""

    after: datetime
    until: datetime | None


@dataclass(frozen=True)
class Facts:
    """Everything that the page says. backups: oldest first; drills: newest first; decisions: what a prune
    would do in each store now, by its kind, without having done it; used: how full each store was, by day.
    """

    status: Status
    problems: list[str]
    notes: list[str]
    backups: list[Backup]
    failed: list[Ran]
    gaps: list[Gap]
    drills: list[Drill]
    decisions: Mapping[str, Report]
    used: Mapping[str, list[Used]]


def gather(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    look: Look,
    opened: Mapping[str, Opened | AgentError],
) -> Facts:
    """Look at everything that `look` (at these stores) did not see. Changes nothing."""
    backups = _backups(catalogue, opened)
    now = look.found.at
    return Facts(
        status=look.found,
        problems=look.problems,
        notes=look.notes,
        backups=backups,
        failed=_failed(catalogue, now - RECENT),
        gaps=gaps(config, _made(catalogue, backups, now - RECENT), now),
        drills=drills.load(catalogue),
        decisions=_decisions(config, credentials, state, catalogue, opened),
        used={store.store: figures(catalogue, store.store) for store in look.found.stores},
    )


def _backups(catalogue: Catalogue, opened: Mapping[str, Opened | AgentError]) -> list[Backup]:
    """Those of the stores that can be read; one manifest at a time, because they can be large."""
    stores: dict[str, list[str]] = {}
    summaries = {}
    for kind, one in opened.items():
        if not isinstance(one, AgentError):
            for summary in one.history.backups:
                summaries[summary.name] = summary
                stores.setdefault(summary.name, []).append(kind)
    found = []
    for summary in sorted(summaries.values(), key=lambda summary: summary.order):
        manifest = catalogue.load(summary)
        found.append(
            Backup(
                name=manifest.name,
                at=manifest.snapshot_at,
                label=manifest.label,
                rows=manifest.database.rows,
                files=manifest.app_data.files,
                bytes=manifest.stored_bytes,
                seconds=(manifest.finished_at - manifest.started_at).total_seconds(),
                stores=tuple(stores[manifest.name]),
                warnings=len(manifest.warnings),
            )
        )
    return found


def _failed(catalogue: Catalogue, since: datetime) -> list[Ran]:
    """Runs that did not end well, newest first."""
    rows = catalogue.database.execute(
        "SELECT verb, started_at, outcome, error FROM runs WHERE outcome IN ('failed', 'partial') "
        "AND started_at >= ? ORDER BY id DESC",
        (since.isoformat(),),
    )
    return [
        Ran(verb, datetime.fromisoformat(at), outcome, error or "it did not say why")
        for verb, at, outcome, error in rows.fetchall()
    ]


def _made(catalogue: Catalogue, backups: Sequence[Backup], since: datetime) -> list[datetime]:
    """When backups were made, also those that retention has removed since; oldest first."""
    rows = catalogue.database.execute(
        "SELECT started_at FROM runs WHERE verb = 'run' AND outcome IN ('complete', 'partial') "
        "AND started_at >= ?",
        (since.isoformat(),),
    )
    made = {datetime.fromisoformat(at).astimezone(UTC) for (at,) in rows.fetchall()}
    return sorted(made | {backup.at for backup in backups if backup.at >= since})


def gaps(config: Config, made: Sequence[datetime], now: datetime) -> list[Gap]:
    """Times in which the next backup came too late by the schedule (as it is today), oldest first."""
    kind = "local" if config.stores.local is not None else "drive"
    found = []
    for at, following in itertools.zip_longest(made, made[1:]):
        late = freshness.late_at(config, kind, at)
        if late < (following or now):
            found.append(Gap(at, following))
    return found


def _decisions(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    opened: Mapping[str, Opened | AgentError],
) -> dict[str, Report]:
    """What retention would do, in the stores that can be read."""
    stores = {kind: one.store for kind, one in opened.items() if not isinstance(one, AgentError)}
    reader = Reader(config, credentials, state, catalogue)
    pruner = Pruner(config, credentials, state, catalogue, reader, tell=lambda _: None)
    return {report.store: report for report in pruner.prune(stores, dry_run=True)}


def seconds_of(drill: Drill) -> float:
    """How long a drill took altogether."""
    return max(0.0, (drill.finished_at - drill.started_at).total_seconds())
