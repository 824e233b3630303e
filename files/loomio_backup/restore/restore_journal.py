"""How far a restore came: written before each step that could not be taken twice.

`preparing`: nothing live was touched, the next restore starts afresh. `clearing` (streaming mode only): what
is live is being removed to make room, the restore has to be begun again. `switching`: the next one finishes
this one, forward. `done`: what it did. `left`: it ended before it touched anything live.

While one is unfinished a marker lies beside the journal; a unit that watches for it settles what a killed
restore left, also after a reboot.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Lineage
from loomio_backup.errors import AgentError, RestoreError
from loomio_backup.progress import seconds_text
from loomio_backup.state import write_private

MARKER = "restore-unsettled"
"""A file beside the journal; systemd's path unit knows it by this name."""
LAST = "restore-last.json"
"""The journal of the last restore that was finished, for undo: one that fails later must not replace it."""


Part = Literal["database", "files"]
BOTH: tuple[Part, ...] = ("database", "files")


class PassedOver(BaseModel):
    """A newer backup that could not be restored, and why."""

    backup: str
    reason: str


class Root(BaseModel):
    """Owner, mode and time (nanoseconds) of a mount's root, as they were before a restore."""

    uid: int
    gid: int
    mode: int
    mtime_ns: int


class Before(BaseModel):
    """The lineage that this Pi had before a restore."""

    instance: str
    generation: int
    sequence: int
    previous: str | None

    @classmethod
    def of(cls, lineage: Lineage | None) -> "Before | None":
        """What the catalogue says, if it says anything."""
        if lineage is None:
            return None
        return cls(
            instance=lineage.instance,
            generation=lineage.generation,
            sequence=lineage.sequence,
            previous=lineage.previous,
        )


class Journal(BaseModel):
    """One restore. Names of databases: `live` is replaced by `new`, and kept as `aside` if it had tables.

    wish: what whoever asked for it calls it.
    parts: what it restores. roots: the mounts' roots by source; staged: the directory in each of them whose
    children take the place of the root's; dress: what the root gets with them, if not that directory's owner
    and mode; roots_before: what it had; kept: the directories that keep what was there. leave_stopped:
    whoever asked for it starts the app. safety: backups of what was live, made on the way: not what is wanted
    when the newest is. undoes: the backup whose restore this takes back. stack: what the backup ran with.
    compared: sentences. keeps_lineage: it is no backup of a lineage, so this Pi's own stays.
    start_due: all is done but the start of the stack. ran: the images that ran here before, by service;
    left_for_version: the app is left stopped because another version of it made the backup.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    state: Literal["preparing", "clearing", "switching", "done", "left"]
    backup: str
    wish: str | None = None
    parts: tuple[Part, ...] = BOTH
    undoes: str | None = None
    leave_stopped: bool = False
    start_due: bool = False
    ran: dict[str, str] = {}
    left_for_version: bool = False
    safety: list[str] = []
    passed_over: list[PassedOver] = []
    stale: str | None = None
    stack: dict[str, Any] = {}
    compared: list[str] = []
    lineage_before: Before | None = None
    keeps_lineage: bool = False
    staged: dict[str, str] = {}
    dress: dict[str, Root] = {}
    roots_before: dict[str, Root] = {}
    kept: dict[str, str] = {}
    stores: list[str]
    instance: str
    generation: int
    snapshot_at: datetime
    started_at: datetime
    live: str
    new: str
    aside: str
    keep_aside: bool = False
    roots: dict[str, Path] = {}
    writers: list[str] = []
    tables: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    objects_fetched: int = 0
    bytes_fetched: int = 0
    phases: dict[str, float] = {}

    @property
    def half_done(self) -> bool:
        """What is live is partly gone, or partly replaced."""
        return self.state in ("clearing", "switching")


def refuse_unfinished(
    path: Path, what: str, error: type[AgentError] = RestoreError, *, also_start_due: bool = False
) -> None:
    """Raise `error` while what is live is only partly what a restore makes of it; `what` was not done."""
    journal = load(path)
    if journal is not None and (journal.half_done or (also_start_due and journal.start_due)):
        raise error(
            f"{what}: the restore of {journal.backup} was interrupted half-way, and has to be brought to its "
            "end first. All backups are untouched. That happens by itself; or type: loomio-backup settle"
        )


def load(path: Path) -> Journal | None:
    """The last restore's journal, or None before the first one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return Journal.model_validate_json(text)
    except ValidationError as error:
        raise RestoreError(
            f"the journal of the last restore, {path}, cannot be read. Nothing was done. If no restore was "
            "interrupted, move that file away and try again."
        ) from error


def is_unfinished(journal: Journal) -> bool:
    """Whether something is to be done still."""
    return journal.state in ("preparing", "clearing", "switching") or journal.start_due


def unsettled_since(path: Path) -> datetime | None:
    """Since when a restore has not been at its end, if it is not, or if nobody can read how far it came."""
    try:
        journal = load(path)
    except RestoreError:
        return time_of(path.with_name(MARKER))
    # Without a restore the marker only says that what is kept aside may go.
    return time_of(path.with_name(MARKER)) if journal is not None and is_unfinished(journal) else None


def time_of(marker: Path) -> datetime | None:
    """When it was made; None where it is gone meanwhile."""
    try:
        return datetime.fromtimestamp(marker.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def save(path: Path, journal: Journal) -> None:
    """Make the journal durable before going on; the marker is there for as long as something is to be
    done."""
    marker = path.with_name(MARKER)
    unfinished = is_unfinished(journal)
    if unfinished and not marker.exists():
        # Its time says since when: settling again and again must not make it younger.
        marker.touch(mode=0o600)
    text = json.dumps(journal.model_dump(mode="json"), indent=1) + "\n"
    if journal.state == "done":
        write_private(path.with_name(LAST), text)
    write_private(path, text)
    if not unfinished:
        marker.unlink(missing_ok=True)


def write_result(path: Path, journal: Journal) -> None:
    """The report of a finished restore. Times in UTC, ages and phases in seconds, sizes in bytes."""
    lost = max(0.0, (journal.started_at - journal.snapshot_at).total_seconds())
    document = {
        "backup": journal.backup,
        "wish": journal.wish,
        "parts": list(journal.parts),
        "stores": journal.stores,
        "instance": journal.instance,
        "generation": journal.generation,
        "snapshot": journal.snapshot_at.isoformat(),
        "started": journal.started_at.isoformat(),
        "finished": clock.now().isoformat(),
        "age_seconds": round((journal.started_at - journal.snapshot_at).total_seconds(), 1),
        "lost": f"What was written in the last {seconds_text(lost)} before this restore began is not in it.",
        "stale": journal.stale,
        "passed_over": [one.model_dump() for one in journal.passed_over],
        "safety_backups": journal.safety,
        "stack": journal.stack,
        "left_for_version": journal.left_for_version,
        "compared": journal.compared,
        "tables": journal.tables,
        "rows": journal.rows,
        "files": journal.files,
        "bytes": journal.bytes,
        "objects_fetched": journal.objects_fetched,
        "bytes_fetched": journal.bytes_fetched,
        "database_kept_as": journal.aside if journal.keep_aside else None,
        "files_kept_in": journal.kept,
        "phases": {phase: round(seconds, 3) for phase, seconds in journal.phases.items()},
    }
    write_private(path, json.dumps(document, indent=1) + "\n")
