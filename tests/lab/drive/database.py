"""The emulator's memory: JSON documents by kind and id in one SQLite file, so a restart forgets nothing."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any


class Database:
    """Documents under DIR/state.sqlite. Every write is durable against the end of the process when it
    returns.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS documents (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id)) "
            "WITHOUT ROWID"
        )

    def save(self, kind: str, key: str, body: Any) -> None:
        """Insert or replace one document."""
        with self._lock:
            self._connection.execute("REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, json.dumps(body)))

    def delete(self, kind: str, key: str) -> None:
        """Remove one document; no error if it is not there."""
        with self._lock:
            self._connection.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, key))

    def load(self, kind: str) -> dict[str, Any]:
        """Every document of a kind, by id."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, body FROM documents WHERE kind = ?", (kind,)
            ).fetchall()
        return {key: json.loads(body) for key, body in rows}

    def close(self) -> None:
        """Write what is pending and let go of the file."""
        with self._lock:
            self._connection.close()
