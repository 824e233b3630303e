"""The database's part of a backup: one snapshot, dumped, read back in full, and counted.

Order matters. The tables are locked in ACCESS SHARE first and the snapshot is taken after that: a TRUNCATE
or an ALTER that comes later waits, one that came earlier is wholly inside. The bytes of pg_dump go through
a FIFO to us, and from us both into the object and through pg_restore, which has to read all of them without
complaint. What pg_restore writes is thrown away, or becomes the second output (legacy.py).
"""

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from loomio_backup import room
from loomio_backup.backup.fifo import FifoReader, FifoWriter, make_fifo
from loomio_backup.catalogue.objects import Digests, write_legacy, write_object
from loomio_backup.database import postgres
from loomio_backup.database.psql import Session, SqlError, session
from loomio_backup.docker import WORK, Helper
from loomio_backup.encryption.legacy import Legacy
from loomio_backup.errors import BackupError
from loomio_backup.progress import Ticker, bytes_text, say

# Whoever wants a table for himself waits behind us, and everybody else behind him: better to give up soon,
# let him through and start again.
_LOCK_SECONDS = 10
_PATIENCE_SECONDS = 600

# Started before the snapshot is taken, and told its name when there is one: in between, somebody who wants a
# table for himself could queue up between our locks and pg_dump's, and all three would wait for good. Then
# pg_dump gives up at once: it never has to wait for anything else.
_DUMP = f"""
read -r snapshot || exit 1
{{ pg_restore -f "$2"; status=$?; cat >/dev/null; exit $status; }} <{WORK}/verify &
reader=$!
pg_dump -Fc -Z0 --no-password --lock-wait-timeout=1000 --snapshot="$snapshot" -d "$1" </dev/null >{WORK}/dump
dumped=$?
wait $reader
echo $dumped $?
"""

# Another session holds or wants the same locks, or a table went away between listing and locking.
_BUSY_CODES = {"55P03", "40P01", "42P01", "57014", "3F000"}

Attachments = Callable[[Iterator[str]], None]


class _Busy(Exception):  # noqa: N818
    """Somebody is changing the schema right now; worth another try."""


@dataclass(frozen=True)
class Dump:
    """What is known about a finished dump; everything in it belongs to the same snapshot. `legacy` is the
    second output, None when none was asked for.
    """

    digests: Digests
    snapshot_at: datetime
    tables: dict[str, int]
    version: str
    version_num: int
    schema_migration: str | None
    properties: postgres.DatabaseProperties
    roles: list[postgres.Role]
    legacy: Digests | None = None


def dump_database(
    helper: Helper,
    database: str,
    destination: Path,
    recipients: Sequence[str],
    attachments: Attachments,
    legacy: Legacy | None = None,
) -> Dump:
    """Dump `database` into the new object `destination`, and count every table in the same snapshot.

    `attachments` is handed the keys of all locally stored ActiveStorage blobs of that snapshot and consumes
    them. `legacy`: also write the same as SQL. Raises BackupError; no output is then left.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with session(helper, database) as sql, _Running(helper, database, legacy) as running:
                return _dump_snapshot(sql, running, database, destination, recipients, attachments)
        except _Busy as busy:
            if time.monotonic() > deadline:
                raise BackupError(
                    f"the database was not backed up: for {_PATIENCE_SECONDS // 60} minutes something "
                    f"kept its tables locked or kept changing them ({busy}). Earlier backups are untouched. "
                    "Look for a migration that hangs, then run loomio-backup run again."
                ) from busy
            say(f"database: its tables are being changed ({busy}), trying again")
            time.sleep(1)
        except SqlError as error:
            raise BackupError(
                f"the database was not backed up ({database}). {error} Earlier backups are untouched."
            ) from error


def _take_snapshot(sql: Session) -> tuple[str, datetime]:
    """Lock all tables, then export a snapshot: its name, and when it was."""
    sql.execute(
        f"SET lock_timeout = '{_LOCK_SECONDS}s'; SET statement_timeout = 0; "
        "SET idle_in_transaction_session_timeout = 0"
    )
    try:
        listed = postgres.lockable_names(sql)
        sql.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if listed:
            sql.execute(f"LOCK TABLE {', '.join(listed)} IN ACCESS SHARE MODE")
        snapshot, taken_at = sql.value("SELECT json_build_array(pg_export_snapshot(), clock_timestamp())")
        if postgres.lockable_names(sql) != listed:
            raise _Busy("a table appeared or went away")
    except SqlError as error:
        if error.code in _BUSY_CODES:
            raise _Busy(str(error)) from error
        raise
    return snapshot, datetime.fromisoformat(taken_at)


def _dump_snapshot(
    sql: Session,
    running: "_Running",
    database: str,
    destination: Path,
    recipients: Sequence[str],
    attachments: Attachments,
) -> Dump:
    snapshot, taken_at = _take_snapshot(sql)
    running.begin(snapshot)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write_object, running, destination, recipients)
        outputs = {destination: writing}
        if running.legacy is not None:
            to = running.legacy.destination
            outputs[to] = pool.submit(write_legacy, running.sql, to, running.legacy.key)
        try:
            version, version_num = postgres.server_version(sql)
            tables = _counts(sql, running)
            schema_migration = postgres.schema_migration(sql)
            properties = postgres.database_properties(sql, database)
            roles = postgres.roles(sql)
            attachments(_attachment_keys(sql))
            ticker = Ticker("database")
            while not all(output.done() for output in outputs.values()):
                done, _ = wait(outputs.values(), timeout=0.5, return_when=FIRST_EXCEPTION)
                for output in done:
                    output.result()
                ticker.tick(f"{bytes_text(running.bytes)} dumped and read back")
                # Nobody knows beforehand how large a dump becomes; the database must not stop for it.
                room.require_spool(destination.parent)
            running.must_have_succeeded()
            digests = {path: output.result() for path, output in outputs.items()}
        except BaseException:
            running.abort()
            # Whatever it was, an unfinished object must not stay.
            for path, output in outputs.items():
                output.exception()
                path.unlink(missing_ok=True)
            raise
    return Dump(
        digests=digests.pop(destination),
        legacy=next(iter(digests.values()), None),
        snapshot_at=taken_at,
        tables=tables,
        version=version,
        version_num=version_num,
        schema_migration=schema_migration,
        properties=properties,
        roles=roles,
    )


def _counts(sql: Session, running: "_Running") -> dict[str, int]:
    tables: dict[str, int] = {}
    for table in postgres.table_names(sql):
        running.refuse_failure()
        tables[table] = postgres.count_rows(sql, table)
    return tables


def _attachment_keys(sql: Session) -> Iterator[str]:
    if postgres.has_columns(sql, "active_storage_blobs", "key", "service_name"):
        # FETCH_COUNT: psql passes the rows on as they come instead of collecting all of them first.
        yield from sql.rows(
            "\\set FETCH_COUNT 5000\n"
            "SELECT to_json(key) FROM public.active_storage_blobs WHERE service_name = 'local'"
        )


class _Running:
    """pg_dump and pg_restore in the helper; `read` gives the bytes of the one, which the other got too, and
    `sql` (with a second output) what the other makes of them.
    """

    def __init__(self, helper: Helper, database: str, legacy: Legacy | None) -> None:
        dump, verify, sql = (make_fifo(helper.directory / name) for name in ("dump", "verify", "sql"))
        self._fifos = (dump, verify, sql)
        self.legacy = legacy
        self._aborted = threading.Event()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the context
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the context
        self._reader = FifoReader(dump, self._is_running)
        self._verifier = FifoWriter(verify, self._is_running)
        self.sql = FifoReader(sql, self._is_running)
        target = f"{WORK}/sql" if legacy else "/dev/null"
        self._process = helper.start(
            _DUMP, database, target, stdin=subprocess.PIPE, stdout=self._output, stderr=self._stderr
        )
        self.bytes = 0

    def __enter__(self) -> "_Running":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._reader.close()
        self._verifier.close()
        self.sql.close()
        self._output.close()
        self._stderr.close()
        for fifo in self._fifos:
            fifo.unlink()

    def begin(self, snapshot: str) -> None:
        """Start dumping this snapshot."""
        assert self._process.stdin is not None
        # A container that is already gone shows in its exit status.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{snapshot}\n".encode())
            self._process.stdin.close()

    def read(self, size: int, /) -> bytes:
        block = self._reader.read(size)
        if self._aborted.is_set():
            raise BackupError("the dump was abandoned")
        try:
            # Also when there is nothing: pg_restore waits for somebody to open its end.
            self._verifier.write(block)
        except BrokenPipeError:
            if not self._aborted.is_set():
                self._process.wait()
                self.refuse_failure()
            raise
        if not block:
            self._verifier.close()
        self.bytes += len(block)
        return block

    def abort(self) -> None:
        """Make the reader stop, also one that waits for a program that says nothing."""
        self._aborted.set()

    def must_have_succeeded(self) -> None:
        """Return when both programs said that all is well; otherwise raise."""
        self._process.wait()
        self.refuse_failure()

    def refuse_failure(self) -> None:
        """Raise when the programs have ended and one of them failed."""
        if self._process.poll() is None:
            return
        statuses = self._said(self._output).split()
        if statuses == ["0", "0"]:
            return
        said = self._said(self._stderr)
        if "LOCK TABLE" in said and statuses[:1] != ["0"]:
            raise _Busy("pg_dump could not lock the tables")
        raise BackupError(
            f"the database was not backed up: {_blame(statuses, self._process.returncode)}"
            f"{': ' + said if said else ''}. Earlier backups are untouched; run loomio-backup run again."
        )

    def _is_running(self) -> bool:
        return self._process.poll() is None and not self._aborted.is_set()

    @staticmethod
    def _said(file: IO[bytes]) -> str:
        file.seek(0)
        return file.read().decode(errors="replace").strip()


def _blame(statuses: list[str], returncode: int) -> str:
    match statuses:
        case ["0", status]:
            return f"pg_restore could not read the dump back (exit status {status})"
        case [status, _]:
            return f"pg_dump failed (exit status {status})"
    return f"the container that ran pg_dump ended too early (exit status {returncode})"
