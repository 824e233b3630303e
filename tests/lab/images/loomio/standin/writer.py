"""Writes the ledger: as many transactions a second as asked for, each with its own number, some with a file.

Number N+1 can only be taken after N has committed, because both need the counter's row lock. A snapshot of
the database is therefore a prefix of the ledger without gaps, whoever takes it and whenever.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg  # type: ignore[import-not-found,unused-ignore]

from . import ledger

WRITERS = 2
RETRY_SECONDS = 0.5


@dataclass
class Progress:
    """What the writer has done since the application started. number: of the last entry that committed."""

    running: bool = False
    rate: float = 0.0
    attachments_every: int = 0
    number: int = 0
    last_committed_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    committed_since_start: int = 0
    failures: int = 0
    last_failure: str | None = None


class LedgerWriter:
    """Starts and stops the writing threads. connect: opens a connection in autocommit mode."""

    def __init__(self, connect: Callable[[], Any], storage: Path) -> None:
        self._connect = connect
        self._storage = storage
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.progress = Progress()

    def start(self, rate: float, attachments_every: int, seed: int) -> bool:
        """False when it runs already. Raises psycopg.Error when the database cannot be reached."""
        with self._lock:
            if self.progress.running:
                return False
            with self._connect() as connection:
                _open_ledger(connection, seed)
            self.progress = Progress(True, rate, attachments_every, started_at=datetime.now(UTC))
            self._stop.clear()
            self._threads = [
                threading.Thread(target=self._write, args=(WRITERS / rate, attachments_every), daemon=True)
                for _ in range(WRITERS)
            ]
        for thread in self._threads:
            thread.start()
        return True

    def stop(self) -> None:
        """Returns once the last entry has committed or failed."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        with self._lock:
            if self.progress.running:
                self.progress.running = False
                self.progress.stopped_at = datetime.now(UTC)

    def _write(self, interval: float, attachments_every: int) -> None:
        connection = None
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                connection = connection or self._connect()
                self._committed(self._entry(connection, attachments_every))
            except (psycopg.Error, OSError) as error:
                # The database may be away for a restart or a restore: the next number waits for it.
                self._failed(error)
                if connection is not None:
                    connection.close()
                    connection = None
                self._stop.wait(RETRY_SECONDS)
            now = time.monotonic()
            due = max(due + interval, now - 1)
            self._stop.wait(max(0.0, due - now))
        if connection is not None:
            connection.close()

    def _entry(self, connection: Any, attachments_every: int) -> int:
        with connection.transaction():
            number, seed = connection.execute(
                "UPDATE ledger_counter SET last_number = last_number + 1 RETURNING last_number, seed"
            ).fetchone()
            key = ledger.blob_key(seed, number) if number % attachments_every == 0 else None
            text = ledger.body(seed, number)
            row_id = ledger.FIRST_ID + number
            connection.execute(
                "INSERT INTO ledger_entries (number, body, sha256, blob_key) VALUES (%s, %s, %s, %s)",
                (number, text, ledger.sha256(text), key),
            )
            connection.execute(
                "INSERT INTO comments (id, parent_type, parent_id, user_id, body, created_at, updated_at)"
                " VALUES (%s, 'Discussion', %s, NULL, %s, now(), now())",
                (row_id, ledger.TOPIC_ID, text),
            )
            if key is not None:
                self._attach(connection, row_id, key, f"№ {number} 📎.bin", ledger.content(seed, number))
            connection.execute(
                "UPDATE topics SET items_count = %s, last_activity_at = now() WHERE id = %s",
                (number, ledger.TOPIC_ID),
            )
        return int(number)

    def _attach(self, connection: Any, row_id: int, key: str, filename: str, data: bytes) -> None:
        """The file comes first: whoever sees the row finds the file, whole."""
        path = self._storage / ledger.blob_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ledger.TEMPORARY_SUFFIX)
        temporary.write_bytes(data)
        temporary.rename(path)
        connection.execute(
            "INSERT INTO active_storage_blobs"
            " (id, key, filename, content_type, metadata, service_name, byte_size, checksum, created_at)"
            " VALUES (%s, %s, %s, 'application/octet-stream', NULL, 'local', %s, %s, now())",
            (row_id, key, filename, len(data), ledger.checksum(data)),
        )
        connection.execute(
            "INSERT INTO active_storage_attachments (id, name, record_type, record_id, blob_id, created_at)"
            " VALUES (%s, 'files', 'Comment', %s, %s, now())",
            (row_id, row_id, row_id),
        )

    def _committed(self, number: int) -> None:
        with self._lock:
            self.progress.number = max(self.progress.number, number)
            self.progress.last_committed_at = datetime.now(UTC)
            self.progress.committed_since_start += 1

    def _failed(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}".strip()
        print(f"ledger: will try again: {reason}", file=sys.stderr)
        with self._lock:
            self.progress.failures += 1
            self.progress.last_failure = reason


def _open_ledger(connection: Any, seed: int) -> None:
    connection.execute("INSERT INTO ledger_counter (seed) VALUES (%s) ON CONFLICT DO NOTHING", (seed,))
    connection.execute(
        "INSERT INTO topics (id, topicable_type, topicable_id, created_at, updated_at)"
        " VALUES (%s, 'Discussion', %s, now(), now()) ON CONFLICT DO NOTHING",
        (ledger.TOPIC_ID, ledger.TOPIC_ID),
    )
