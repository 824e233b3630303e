"""Manifests and summaries for tests that decide about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from loomio_backup.catalogue.catalogue import Summary
from loomio_backup.catalogue.manifest import (
    AppDataContent,
    DatabaseContent,
    Manifest,
    ObjectEntry,
    ObjectKind,
    Stack,
)

MOMENT = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)


def object_entry(name: str, kind: ObjectKind = "pack", **changes: Any) -> ObjectEntry:
    """An object of 10 stored bytes."""
    values: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "plain_size": 20,
        "plain_sha256": "p" * 64,
        "stored_size": 10,
        "stored_sha256": "s" * 64,
        "stored_md5": "m" * 32,
        "key_fingerprints": ["f" * 16],
    }
    return ObjectEntry(**values | changes)


def manifest(**changes: Any) -> Manifest:
    """A small backup."""
    values: dict[str, Any] = {
        "name": "loomio_backup_20261123_020000",
        "instance": "i" * 32,
        "generation": 1,
        "sequence": 1,
        "previous": None,
        "kind": "scheduled",
        "label": None,
        "started_at": MOMENT,
        "snapshot_at": MOMENT,
        "finished_at": MOMENT,
        "host": "pi",
        "program_version": "0.1.0",
        "stack": Stack(commit=None, images={}),
        "database": DatabaseContent(
            name="loomio_production",
            postgresql_version="17.6",
            server_version_num=170006,
            schema_migration="20261101000000",
            tables={"public.users": 3, "public.topics": 4},
        ),
        "app_data": AppDataContent(
            sources=["storage"], files=2, directories=1, symlinks=0, bytes=100, changed_while_read=[]
        ),
        "attachments_missing": [],
        "objects": [object_entry("a"), object_entry("b", "database")],
        "warnings": [],
        "durations": {"files": 1.5},
    }
    return Manifest(**values | changes)


def summary(sequence: int = 1, generation: int = 1, instance: str = "i" * 32, **changes: Any) -> Summary:
    """A backup as the catalogue sums it up."""
    values: dict[str, Any] = {
        "name": f"loomio_backup_{generation}_{sequence}",
        "instance": instance,
        "generation": generation,
        "sequence": sequence,
        "snapshot_at": MOMENT,
        "stored_bytes": 10,
    }
    return Summary(**values | changes)
