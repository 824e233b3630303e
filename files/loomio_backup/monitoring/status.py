"""How the backups stand, all in one answer: for `status`, for the watch, and for Prometheus.

Looks only, and takes no lock: it answers while a backup runs, and without a network.
"""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from loomio_backup import clock, room
from loomio_backup.catalogue.catalogue import Catalogue, Run
from loomio_backup.catalogue.history import Reader
from loomio_backup.config import Config
from loomio_backup.credentials import IDENTITY, Credentials
from loomio_backup.drill import drills, leases
from loomio_backup.drill.outlook import Outlook, outlook
from loomio_backup.encryption import crypto
from loomio_backup.errors import AgentError
from loomio_backup.monitoring import alarms, freshness
from loomio_backup.monitoring.alarms import Alarm
from loomio_backup.monitoring.notify import Alerts
from loomio_backup.monitoring.store_status import Looker, Opened, StoreStatus, open_each
from loomio_backup.restore import keeping, restore_journal
from loomio_backup.restore.keeping import Kept
from loomio_backup.retention.holding import Observer
from loomio_backup.retention.pins import Pins
from loomio_backup.state import StateDirectory
from loomio_backup.update import update_journal
from loomio_backup.version import VERSION

TIMER = "loomio-backup.timer"
WATCHED_SINCE = "watched_since"
CLOCK_DOUBTED = "clock_doubted_since"
UNSENT = "unsent"
"""Why the last message could not be sent to everybody; absent when it could."""


@dataclass(frozen=True)
class RunStatus:
    """The latest run of a verb. outcome: running, complete, partial (some store lacks the backup), failed, or
    killed (it began, and nothing of it is there any more). error: the sentence of its failure.
    """

    verb: str
    outcome: Literal["running", "complete", "partial", "failed", "killed"]
    started_at: datetime
    finished_at: datetime | None
    backup: str | None
    error: str | None


@dataclass(frozen=True)
class KeyStatus:
    """A key that opens objects of the backups, by its fingerprint. `where`: identity (this Pi holds it),
    this Pi (its own key, which opens lists and nothing else), settings (backups are made for it, whoever
    holds it), or elsewhere (older backups need it). objects: how many it opens; 0 for an earlier key that is
    still here and that nothing in any store needs any more.
    """

    fingerprint: str
    where: Literal["identity", "this Pi", "settings", "elsewhere"]
    objects: int


@dataclass(frozen=True)
class Status:
    """How everything stands. Times are UTC, sizes bytes; None means not known (or not there).

    host, program_version; at: when this was looked at; since_start_seconds: how long the Pi has been on.
    stores: see StoreStatus. next_run_at: when the next backup is to be made; timer: the state of its timer.
    running: what is going on now ("a backup, process 17"). runs: the latest one of each verb.
    frozen: why retention removes nothing until a person has looked.
    alarms: the open ones. channels: how many ways there are to tell a person; unsent: why the last message
    did not reach all of them. keys: what opens the backups.
    kept: what restores keep aside, oldest first.
    disk_free_bytes: on the disk that backups are made on; disk_needed_bytes: below which none is made.
    dump_bytes: what the last database dump took.
    clock_synchronised: whether the network has set the clock since the start; clock_doubted_since: since when
    nobody could say.
    restore_unsettled_since, update_unsettled_since: since when one has been under way, or has waited for its
    end.
    outlook: what would become of it if this Pi died now.
    """

    host: str
    program_version: str
    at: datetime
    since_start_seconds: float
    stores: list[StoreStatus]
    next_run_at: datetime
    timer: str | None
    running: str | None
    runs: list[RunStatus]
    frozen: str | None
    alarms: list[Alarm]
    channels: int
    unsent: str | None
    keys: list[KeyStatus]
    kept: list[Kept]
    disk_free_bytes: int
    disk_needed_bytes: int
    dump_bytes: int
    clock_synchronised: bool
    clock_doubted_since: datetime | None
    restore_unsettled_since: datetime | None
    update_unsettled_since: datetime | None
    outlook: Outlook

    def run(self, verb: str) -> RunStatus | None:
        """The latest run of a verb."""
        return next((run for run in self.runs if run.verb == verb), None)

    def store(self, kind: str) -> StoreStatus | None:
        """A store by its kind, if there is one."""
        return next((store for store in self.stores if store.store == kind), None)


def collect(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    alerts: Alerts,
    opened: Mapping[str, Opened | AgentError] | None = None,
) -> Status:
    """Look at everything. A store that cannot be read is part of the answer, and no error. `opened`: the
    stores, where somebody has opened them already.
    """
    now = clock.now()
    began = _watched_since(catalogue, now)
    reader = Reader(config, credentials, state, catalogue)
    observer = Observer(config, state, catalogue, Pins(config, credentials, state, catalogue, reader))
    looker = Looker(config, catalogue, observer, began)
    if opened is None:
        opened = open_each(config, credentials, reader)
    doubted = catalogue.meta(CLOCK_DOUBTED)
    dump_bytes = _dump_bytes(catalogue)
    stores = [looker.look(kind, opened) for kind in opened]
    off_site = next((store.age_seconds for store in stores if store.store == "drive"), None)
    return Status(
        host=config.host,
        program_version=VERSION,
        at=now,
        since_start_seconds=round(clock.since_start().total_seconds(), 1),
        stores=stores,
        next_run_at=freshness.next_due(config, "local", now),
        timer=_timer(),
        running=state.running(),
        runs=_runs(catalogue, state),
        frozen=catalogue.meta("frozen"),
        alarms=alarms.open_alarms(catalogue),
        channels=len(alerts.urls) + (alerts.smtp is not None),
        unsent=catalogue.meta(UNSENT),
        keys=_keys(config, credentials, state, catalogue, opened),
        kept=keeping.kept(catalogue),
        disk_free_bytes=room.free(state.spool),
        disk_needed_bytes=room.FLOOR + dump_bytes,
        dump_bytes=dump_bytes,
        clock_synchronised=clock.synchronised(),
        clock_doubted_since=datetime.fromisoformat(doubted) if doubted else None,
        restore_unsettled_since=restore_journal.unsettled_since(state.restore_journal),
        update_unsettled_since=update_journal.unsettled_since(state),
        outlook=outlook(config, off_site, drills.load(catalogue, "drive")),
    )


def _watched_since(catalogue: Catalogue, now: datetime) -> datetime:
    """When somebody first looked: from then on a backup is expected."""
    known = catalogue.meta(WATCHED_SINCE)
    if known is None:
        catalogue.set_meta(WATCHED_SINCE, now.isoformat())
        return now
    return datetime.fromisoformat(known)


def _runs(catalogue: Catalogue, state: StateDirectory) -> list[RunStatus]:
    verbs = catalogue.database.execute("SELECT DISTINCT verb FROM runs ORDER BY verb").fetchall()
    found = []
    for (verb,) in verbs:
        run = catalogue.last_run(verb)
        killed = False
        if run is not None and run.outcome == "running" and not _holds_lock(state, run):
            # It ended after it was read, and then it has written down how; or it was killed.
            run = catalogue.last_run(verb)
            killed = run is not None and run.outcome == "running" and not _holds_lock(state, run)
        if run is not None:
            found.append(_run_status(run, killed))
    return found


def _holds_lock(state: StateDirectory, run: Run) -> bool:
    if run.verb == "verify":
        return leases.leased(state) is not None
    # The lock knows better than the process's number, which may be another's by now.
    return (state.running() or "").endswith(f"process {run.pid}")


def _run_status(run: Run, killed: bool) -> RunStatus:
    return RunStatus(
        verb=run.verb,
        outcome="killed" if killed else run.outcome,
        started_at=run.started_at,
        finished_at=run.finished_at,
        backup=run.backup,
        error="it was killed, or the Pi lost its power" if killed else run.error,
    )


def _timer() -> str | None:
    """The state of the backup's timer as systemd calls it; None without systemd."""
    systemctl = shutil.which("systemctl")
    if systemctl is None or not Path("/run/systemd/system").exists():
        return None
    done = subprocess.run([systemctl, "is-active", TIMER], capture_output=True, text=True)
    return done.stdout.strip() or None


def _keys(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    opened: Mapping[str, Opened | AgentError],
) -> list[KeyStatus]:
    rows = catalogue.database.execute(
        "SELECT value, count(*) FROM objects, json_each(objects.entry, '$.key_fingerprints') GROUP BY value"
    ).fetchall()
    text = credentials.optional(IDENTITY)
    held = crypto.parse_identities(text) if text else []
    places: dict[str, Literal["identity", "this Pi", "settings", "elsewhere"]] = {}
    places |= {crypto.fingerprint(text): "settings" for text in config.recipients}
    places |= {crypto.fingerprint(str(identity.to_public())): "identity" for identity in held}
    places[crypto.fingerprint(crypto.recipient_of(state.catalogue_identity()))] = "this Pi"
    counts = dict(rows)
    if not any(isinstance(one, AgentError) for one in opened.values()):
        # The first identity is the one in use; for the others the stores have been asked.
        earlier = [crypto.fingerprint(str(identity.to_public())) for identity in held[1:]]
        counts |= {print_: 0 for print_ in earlier if print_ not in counts}
    return [KeyStatus(print_, places.get(print_, "elsewhere"), count) for print_, count in counts.items()]


def _dump_bytes(catalogue: Catalogue) -> int:
    """What the last dump took on its way; the next one will take about as much."""
    row = catalogue.database.execute(
        "SELECT json_extract(entry, '$.stored_size') FROM objects WHERE kind = 'database' "
        "ORDER BY written_at DESC LIMIT 1"
    ).fetchone()
    return int(row[0]) if row else 0
