"""A status in which all is well, for tests that change something in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from loomio_backup.drill.outlook import Outlook
from loomio_backup.monitoring.status import KeyStatus, RunStatus, Status
from loomio_backup.monitoring.store_status import StoreStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NEWEST = NOW - timedelta(minutes=50)


def store(kind: str, **changes: Any) -> StoreStatus:
    values: dict[str, Any] = {
        "newest": "loomio_backup_20261123_110000",
        "newest_at": NEWEST,
        "age_seconds": 3000.0,
        "due_at": NOW + timedelta(hours=1),
        "backups": 5,
        "bytes": 1_000_000,
        "total_bytes": 15 * 10**9,
        "used_bytes": 10**9,
        "free_bytes": 14 * 10**9,
        "forecast": "Drive is not filling up (by the last 9 days).",
        "clock_apart_seconds": 0.4,
    }
    return StoreStatus(kind, **values | changes)


def run(
    outcome: Any, verb: str = "run", error: str | None = "it did not work", hours: float = 0.2
) -> RunStatus:
    began = NOW - timedelta(hours=hours)
    return RunStatus(verb, outcome, began, None if outcome == "running" else NOW, None, error)


def status(local: StoreStatus | None = None, drive: StoreStatus | None = None, **changes: Any) -> Status:
    values: dict[str, Any] = {
        "host": "pi",
        "program_version": "1",
        "at": NOW,
        "since_start_seconds": 90_000.0,
        "stores": [local or store("local"), drive or store("drive")],
        "next_run_at": NOW + timedelta(hours=1),
        "timer": "active",
        "running": None,
        "runs": [run("complete", error=None)],
        "frozen": None,
        "alarms": [],
        "channels": 1,
        "unsent": None,
        "keys": [KeyStatus("0123456789abcdef", "identity", 12)],
        "kept": [],
        "disk_free_bytes": 10**10,
        "disk_needed_bytes": 600_000_000,
        "dump_bytes": 88_000_000,
        "clock_synchronised": True,
        "clock_doubted_since": None,
        "restore_unsettled_since": None,
        "update_unsettled_since": None,
        "outlook": Outlook("If this Pi dies now: 50 min of work lost."),
    }
    return Status(**values | changes)
