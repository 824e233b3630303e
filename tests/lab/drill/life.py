"""The life itself, readable from top to bottom: every phase of a drill in its order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..data import Spec, write_sql, write_tar
from ..docker import LabError, wait_until
from ..lab import Lab
from ..pi import Pi
from . import operator as desk
from .fingerprint import Fingerprint
from .operator import Finished, Operator
from .report import Report

PROJECT = "loomio-pi-stack"
ENV_FILE = "/opt/loomio-pi-stack/.env"
#: What a restored Pi must have again, to the letter: sessions and stored links depend on them.
APPLICATION_KEYS = (
    *("SECRET_COOKIE_TOKEN", "SECRET_KEY_BASE", "DEVISE_SECRET", "RAILS_INBOUND_EMAIL_PASSWORD"),
    *("VAPID_PUBLIC_KEY", "VAPID_PRIVATE_KEY"),
)
LEDGER = "http://127.0.0.1:3000/lab/ledger"
ENTRIES_BEFORE_BACKUP, ENTRIES_AFTER_BACKUP = 60, 60
#: Of the first backup, which is made from the operator's machine and stays.
LABEL = "before-the-rush"


@dataclass(frozen=True)
class Remembered:
    """What was true before the Pi died, as far as the comparison needs it."""

    environment: Mapping[str, str]
    objects: Mapping[str, str]  # name → SHA-256 of what Drive holds
    needed: Sequence[str]  # names of the objects of the newest backup
    snapshot: datetime
    backup: str
    ledger_number: int
    died: datetime
    machine_id: str
    host_keys: str


@dataclass
class Rehearsal:
    """A drill that was carried through: the recovered Pi and all that is known about it."""

    lab: Lab
    operator: Operator
    spec: Spec
    report: Report
    pi: Pi
    before: Remembered
    recovery: Finished


def rehearse(
    lab: Lab, spec: Spec, report: Report, *, before_death: Callable[[Pi], None] | None = None
) -> Rehearsal:
    """Live the whole life up to the recovered Pi. Raises LabError when a phase fails outright.

    `before_death` is called with the first Pi once it has been backed up and before it is destroyed.
    """
    with report.phase("boot", "Flashing a Raspberry Pi and switching it on"):
        pi = lab.new_pi()
        credentials = lab.cloud.drive.register_user()
        operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=credentials)
    set_up(operator, pi, report)
    with report.phase("fill", f"A year of use: {spec.db_mb} MB of database, {spec.files_mb} MB of files"):
        fill(pi, spec)
    with report.phase("labelled", f"deploys/backup.py: a backup with a label, {LABEL}, which stays"):
        labelled = _must(
            operator.deploy("backup", "--data", f"label={LABEL}", echo=True), "the labelled backup"
        )
        report.labelled_seconds = round(labelled.seconds, 1)
        report.labelled_bytes = stored_bytes(lab)
    with report.phase("write", "People write while the next backup comes"):
        start_writers(pi)
    with report.phase("backup", "A backup, through the timer's own unit"):
        back_up(pi, lab, report)
    with report.phase("write-more", "People go on writing; this will be lost"):
        wait_for_entries(pi, ledger_number(pi) + ENTRIES_AFTER_BACKUP)
    if before_death:
        before_death(pi)
    with report.phase("death", "The SD card dies"):
        before = remember(pi, lab)
        pi.destroy()
    with report.phase("reflash", "A new card, a fresh system"):
        fresh = lab.new_pi(port=pi.ssh_port)
        if fresh.machine_id() == before.machine_id or host_keys(fresh) == before.host_keys:
            raise LabError("the fresh Pi has the machine id or the host keys of the dead one")
        operator.forget_host_key(pi.ssh_port)
    recovery = recover(operator, report)
    report.rows_lost = before.ledger_number
    report.data_loss_seconds = round((before.died - before.snapshot).total_seconds(), 1)
    return Rehearsal(lab, operator, spec, report, fresh, before, recovery)


def set_up(operator: Operator, pi: Pi, report: Report) -> None:
    """setup.py on a fresh Pi, and again: the second time must change nothing, seen from both sides."""
    with report.phase("setup", "deploys/setup.py on the fresh Pi"):
        first = _must(operator.deploy("setup", echo=True), "setup")
        report.setup_seconds = round(first.seconds, 1)
    with report.phase("setup-again", "deploys/setup.py again: nothing must change"):
        before = Fingerprint.of(pi)
        second = _must(operator.deploy("setup"), "the second setup")
        report.second_setup_seconds = round(second.seconds, 1)
        changed = second.changed()
        report.second_setup_changes = len(changed)
        report.problems += [f"the second setup changed: {operation}" for operation in changed]
        report.problems += [f"the second setup: {said}" for said in before.differences(Fingerprint.of(pi))]


def fill(pi: Pi, spec: Spec) -> None:
    """Put the generated database rows and files where a year of use would have put them."""
    psql = (
        "docker",
        "exec",
        "-i",
        pi.database_container(),
        *"psql -X -q -v ON_ERROR_STOP=1 -o /dev/null".split(),
    )
    with pi.stream(*psql, "-U", "loomio", "-d", "loomio_production", stdin=True) as sql:
        write_sql(spec, sql)
    # The first component of a member's name is the volume's name; symlinks' targets stay as they are.
    to_volume = rf"--transform=s,^\([^/]*\),{PROJECT}_\1/_data,rSH"
    extract = (
        "tar",
        "-x",
        "-p",
        "--numeric-owner",
        "--same-owner",
        "-C",
        "/var/lib/docker/volumes",
        to_volume,
    )
    with pi.stream(*extract, stdin=True) as archive:
        write_tar(spec, archive)


def start_writers(pi: Pi) -> None:
    pi.run("curl", "-fsS", "-X", "POST", f"{LEDGER}/start?rate=25&attachments_every=5")
    wait_for_entries(pi, ENTRIES_BEFORE_BACKUP)


def ledger_number(pi: Pi) -> int:
    """Number of the last entry that the ledger's writer knows to be committed."""
    return int(json.loads(pi.run("curl", "-fsS", LEDGER))["number"])


def wait_for_entries(pi: Pi, number: int) -> None:
    wait_until(lambda: ledger_number(pi) >= number, f"entry {number} of the ledger", 120)


def back_up(pi: Pi, lab: Lab, report: Report) -> None:
    """Start the unit that the timer starts, wait for it, and measure what came to lie in Drive."""
    started = time.monotonic()
    if not pi.succeeds("systemctl", "start", "loomio-backup.service"):
        raise LabError(
            "the backup failed:\n" + pi.run("journalctl", "--no-pager", "-u", "loomio-backup.service")
        )
    report.backup_seconds = round(time.monotonic() - started, 1)
    report.backup_objects = len(lab.cloud.stored().keys() - {"RECOVERY.md"})
    report.backup_bytes = stored_bytes(lab) - report.labelled_bytes


def stored_bytes(lab: Lab) -> int:
    """The size of all that lies in Drive."""
    return sum(int(entry["size"]) for entry in lab.cloud.stored().values())


def remember(pi: Pi, lab: Lab) -> Remembered:
    """Note everything that the recovered Pi is going to be held against."""
    newest, labelled = json.loads(pi.run("loomio-backup", "list", "--store", "drive", "--json"))
    if (newest["label"], labelled["label"]) != (None, LABEL):
        raise LabError(f"the labels of the two backups are {newest['label']} and {labelled['label']}")
    shown = json.loads(pi.run("loomio-backup", "show", newest["name"], "--json"))
    return Remembered(
        environment=environment(pi),
        objects={name: entry["sha256"] for name, entry in lab.cloud.stored().items()},
        needed=[f"{newest['name']}.manifest.age", *(entry["name"] for entry in shown["objects"])],
        snapshot=datetime.fromisoformat(newest["snapshot"]),
        backup=newest["name"],
        ledger_number=ledger_number(pi),
        died=datetime.now(UTC),
        machine_id=pi.machine_id(),
        host_keys=host_keys(pi),
    )


def environment(pi: Pi) -> dict[str, str]:
    """The application keys of the stack's .env."""
    lines = pi.run("cat", ENV_FILE).splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key: values[key] for key in APPLICATION_KEYS if key in values}


def host_keys(pi: Pi) -> str:
    return pi.run("sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub")


def recover(operator: Operator, report: Report) -> Finished:
    with report.phase("recovery", "deploys/disaster_recovery.py on the fresh Pi"):
        finished = _must(operator.deploy("disaster_recovery", echo=True), "the recovery")
        report.recovery_seconds = round(finished.seconds, 1)
    return finished


def _must(finished: Finished, what: str) -> Finished:
    if finished.code != 0:
        raise LabError(f"{what} failed with {finished.code}:\n{finished.output[-6000:]}")
    return finished
