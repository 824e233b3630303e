"""How far a restore came: written before each step that could not be taken twice.

`preparing`: nothing live was touched, the next restore starts afresh. `switching`: the next one finishes this
one, forward. `done`: what it did.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from loomio_backup import clock
from loomio_backup.errors import RestoreError
from loomio_backup.state import write_private


class Journal(BaseModel):
    """One restore. Names of databases: `live` is replaced by `new`, and kept as `aside` if it had tables."""

    model_config = ConfigDict(extra="ignore")

    id: str
    state: Literal["preparing", "switching", "done"]
    backup: str
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


def save(path: Path, journal: Journal) -> None:
    """Make the journal durable before going on."""
    write_private(path, json.dumps(journal.model_dump(mode="json"), indent=1) + "\n")


def write_result(path: Path, journal: Journal, files_kept_in: Mapping[str, str]) -> None:
    """The report of a finished restore. Times in UTC, ages and phases in seconds, sizes in bytes."""
    document = {
        "backup": journal.backup,
        "stores": journal.stores,
        "instance": journal.instance,
        "generation": journal.generation,
        "snapshot": journal.snapshot_at.isoformat(),
        "started": journal.started_at.isoformat(),
        "finished": clock.now().isoformat(),
        "age_seconds": round((journal.started_at - journal.snapshot_at).total_seconds(), 1),
        "tables": journal.tables,
        "rows": journal.rows,
        "files": journal.files,
        "bytes": journal.bytes,
        "objects_fetched": journal.objects_fetched,
        "bytes_fetched": journal.bytes_fetched,
        "database_kept_as": journal.aside if journal.keep_aside else None,
        "files_kept_in": dict(files_kept_in),
        "phases": {phase: round(seconds, 3) for phase, seconds in journal.phases.items()},
    }
    write_private(path, json.dumps(document, indent=1) + "\n")
