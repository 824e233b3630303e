"""`loomio-backup list`: the backups in the stores, newest first."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue, Summary
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError, StoreError
from loomio_backup.progress import bytes_text, seconds_text
from loomio_backup.state import StateDirectory


@dataclass
class Row:
    """One backup and the stores that hold its manifest; `pinned` in at least one of them."""

    summary: Summary
    stores: list[str]
    pinned: bool = False


def run(config: Config, credentials: Credentials, only: str | None, as_json: bool) -> int:
    """The verb. A store that cannot be read is told at the end, after what the others hold."""
    state = StateDirectory(config.state_directory)
    problems: list[str] = []
    histories: list[History] = []
    with Catalogue(state.catalogue) as catalogue:
        reader = Reader(config, credentials, state, catalogue)
        for kind, store in open_stores(config, credentials).items():
            if only in (None, kind):
                try:
                    histories.append(reader.read(store))
                except StoreError as error:
                    problems.append(f"{kind}: {error}")
        rows = merged(histories)
        if as_json:
            print(json.dumps([_document(row, catalogue) for row in rows], indent=1))
        else:
            print(table(rows, clock.now()))
    if only is not None and not histories and not problems:
        raise AgentError(f"no store {only} is configured.")
    for history in histories:
        problems += [f"{history.store}: {sentence}" for _, sentence in history.damaged]
        problems += [f"{history.store}: no key of this Pi opens {name}." for name in history.foreign]
        problems += [
            f"{history.store}: {name} is gone, and this Pi did not remove it." for name in history.missing
        ]
    if problems:
        raise AgentError(" ".join(problems))
    return 0


def merged(histories: list[History]) -> list[Row]:
    """One row per backup, newest first."""
    rows: dict[tuple[str, str], Row] = {}
    for history in histories:
        for summary in history.backups:
            row = rows.setdefault((summary.instance, summary.name), Row(summary, []))
            row.stores.append(history.store)
            row.pinned |= summary.name in history.pins
    return sorted(rows.values(), key=lambda row: row.summary.order, reverse=True)


def table(rows: list[Row], now: datetime) -> str:
    """The rows for people."""
    if not rows:
        return "There are no backups yet."
    lines = [f"{'backup':<31}  {'number':>8}  {'age':>12}  {'size':>9}  stores        label, pin"]
    for row in rows:
        summary = row.summary
        number = f"{summary.generation}.{summary.sequence}"
        age = seconds_text(max(0.0, (now - summary.snapshot_at).total_seconds()))
        size = bytes_text(summary.stored_bytes)
        stores = ", ".join(row.stores)
        notes = ", ".join([*([summary.label] if summary.label else []), *(["pinned"] if row.pinned else [])])
        line = f"{summary.name:<31}  {number:>8}  {age:>12}  {size:>9}  {stores:<12}  {notes}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _document(row: Row, catalogue: Catalogue) -> dict[str, Any]:
    manifest = catalogue.load(row.summary)
    return {
        "name": manifest.name,
        "instance": manifest.instance,
        "generation": manifest.generation,
        "sequence": manifest.sequence,
        "kind": manifest.kind,
        "label": manifest.label,
        "snapshot": manifest.snapshot_at.isoformat(),
        "host": manifest.host,
        "rows": manifest.database.rows,
        "files": manifest.app_data.files,
        "stored_bytes": manifest.stored_bytes,
        "warnings": manifest.warnings,
        "stores": row.stores,
        "pinned": row.pinned,
    }
