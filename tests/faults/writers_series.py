"""Backups while people write, tables are truncated and rewritten, and attachments come and go.

What each backup says must be what it holds: rows per table as the restored database counts them, and for
every attachment that its database mentions either the right file or an entry in the list of those missing
at the source.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loomio_backup.catalogue.manifest import Manifest, unseal
from loomio_backup.encryption import crypto
from loomio_backup.progress import Ticker
from tests.lab.agent_site import Site

_SCHEMA = """
CREATE TABLE pair_a (n int); CREATE TABLE pair_b (n int); CREATE TABLE ledger (n int, note text);
INSERT INTO pair_a SELECT generate_series(1, 500); INSERT INTO pair_b SELECT n FROM pair_a;
"""
_DISTURBANCES = (
    "INSERT INTO ledger SELECT n, repeat('x', 200) FROM generate_series(1, 200) AS n",
    "BEGIN; TRUNCATE pair_a; INSERT INTO pair_a SELECT generate_series(1, 500); COMMIT",
    "ALTER TABLE ledger ALTER COLUMN n TYPE bigint; ALTER TABLE ledger ALTER COLUMN n TYPE int",
    "CREATE TABLE passing AS SELECT 1 AS n; DROP TABLE passing",
    "BEGIN; TRUNCATE ledger; INSERT INTO ledger VALUES (1, 'again'); COMMIT",
    "VACUUM FULL pair_b",
)


@dataclass(frozen=True)
class Outcome:
    """What the series did: backups compared, disturbances and attachments made and purged meanwhile."""

    backups: int
    disturbances: int
    attachments: int
    purged: int
    missing_at_the_source: int
    seconds: float


class _Crowd:
    """Threads that write until told to stop; the first error of any of them is raised by `stop`."""

    def __init__(self, pi: Site, seed: int) -> None:
        self._pi, self._stop, self._errors = pi, threading.Event(), list[BaseException]()
        self.disturbances = self.attachments = self.purged = 0
        works: list[Callable[[random.Random], None]] = [self._disturb, self._attach]
        self._threads = [
            threading.Thread(target=self._work, args=(work, random.Random(seed + number)))
            for number, work in enumerate(works)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all, and raise what went wrong in them."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _work(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            while not self._stop.is_set():
                work(chance)
        except BaseException as error:  # noqa: BLE001 - raised again by stop()
            self._errors.append(error)

    def _disturb(self, chance: random.Random) -> None:
        self._pi.sql(chance.choice(_DISTURBANCES))
        self.disturbances += 1

    def _attach(self, chance: random.Random) -> None:
        """Direct uploads make the row first, ordinary ones the file; a purge removes the row, then the
        file.
        """
        key = chance.randbytes(14).hex()
        row = f"INSERT INTO active_storage_blobs (key, service_name) VALUES ('{key}', 'local')"
        if chance.random() < 0.5:
            self._pi.attach(key, content_of(key))
            self._pi.sql(row)
        else:
            self._pi.sql(row)
            self._pi.attach(key, content_of(key))
        self.attachments += 1
        if chance.random() < 0.4:
            self._pi.sql(f"DELETE FROM active_storage_blobs WHERE key = '{key}'")
            (self._pi.storage / key[:2] / key[2:4] / key).unlink()
            self.purged += 1


def content_of(key: str) -> bytes:
    """What the attachment of this key holds."""
    return hashlib.sha256(key.encode()).digest() * 200


def run_series(pi: Site, fresh: Site, backups: int, seed: int = 1) -> Outcome:
    """Make and restore so many backups while others write. `pi` is filled, and stores locally."""
    began = time.monotonic()
    pi.sql(_SCHEMA)
    pi.big_table(100_000)
    missing = 0
    crowd = _Crowd(pi, seed)
    try:
        ticker = Ticker("backups under fire")
        for number in range(backups):
            ticker.tick(f"{number} of {backups}", number / backups)
            pi.must("run")
            name = json.loads(pi.must("list", "--json"))[0]["name"]
            missing += _compare(pi, fresh, name)
    finally:
        crowd.stop()
    return Outcome(
        backups, crowd.disturbances, crowd.attachments, crowd.purged, missing, time.monotonic() - began
    )


def _compare(pi: Site, fresh: Site, name: str) -> int:
    fresh.lose_database()
    fresh.must("restore", "--backup", name, "--unattended")
    manifest = manifest_of(pi, name)
    for table, rows in manifest.database.tables.items():
        found = int(fresh.sql(f"SELECT count(*) FROM {table}"))
        assert found == rows, f"{name} says {rows} rows of {table}, its database holds {found}"
    listed = fresh.sql(
        "SELECT count(*) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'r' AND nspname IN ('public', 'other')"
    )
    assert int(listed) == len(manifest.database.tables)
    assert manifest.database.tables["public.pair_a"] == 500
    keys = fresh.sql("SELECT key FROM active_storage_blobs WHERE service_name = 'local'").split()
    missing = set(manifest.attachments_missing)
    for key in keys:
        path = fresh.storage / key[:2] / key[2:4] / key
        if not path.exists():
            assert key in missing, f"{name} mentions the attachment {key}, and neither has nor misses it"
        elif len(key) == 28:
            # Written while it was read, it may be one of its states, and the backup must have said so.
            changed = any(key in path for path in manifest.app_data.changed_while_read)
            assert changed or path.read_bytes() == content_of(key), f"{key} of {name} has another content"
    assert all(key in keys for key in missing)
    return len(missing)


def manifest_of(pi: Site, name: str) -> Manifest:
    """A manifest from the local store, opened with the operator's identity."""
    assert pi.config.stores.local is not None
    path: Path = pi.config.stores.local.path / f"{name}.manifest.age"
    public = crypto.signing_public_key(pi.signing_key)
    return unseal(path, crypto.parse_identities(pi.identity), public)
