"""The units: on schedule, backups, clearing up, watch and drills; a restore and an update that only
deploys start."""

import io
from collections.abc import Sequence

from pyinfra.api.deploy import deploy
from pyinfra.operations import files

from deploys.operations.files_at_once import files_at_once
from deploys.operations.systemd import units_active, units_loaded
from deploys.steps import agent_config, cron
from deploys.steps.paths import (
    AGENT_COMMAND,
    AGENT_STATE,
    BACKUP_SERVICE,
    BACKUP_TIMER,
    CREDENTIALS,
    LABELLED_BACKUP,
    LENT_IDENTITY,
    LENT_TO_DRILL,
    LENT_TO_SAMPLE,
    LENT_TO_UPDATE,
    PRUNE_SERVICE,
    PRUNE_TIMER,
    RESTORE_MARKER,
    RESTORE_OPTIONS,
    RESTORE_SERVICE,
    SAMPLE_SERVICE,
    SAMPLE_TIMER,
    SETTLE_PATH,
    SETTLE_SERVICE,
    TIMERS,
    UPDATE_MARKER,
    UPDATE_OPTIONS,
    UPDATE_SERVICE,
    VERIFY_SERVICE,
    VERIFY_TIMER,
    WATCH_SERVICE,
    WATCH_TIMER,
)
from deploys.steps.preflight import Target
from deploys.steps.templates import render
from inventories.backup_settings import BackupSettings
from inventories.settings import Settings
from loomio_backup import credentials as names
from loomio_backup.drill.drills import LONGEST

#: Unit to template.
TEMPLATES = {
    BACKUP_SERVICE: "loomio-backup.service.j2",
    LABELLED_BACKUP: "loomio-backup.service.j2",
    BACKUP_TIMER: "timer.j2",
    PRUNE_SERVICE: "loomio-backup-prune.service.j2",
    PRUNE_TIMER: "timer.j2",
    WATCH_SERVICE: "loomio-backup-watch.service.j2",
    WATCH_TIMER: "timer.j2",
    VERIFY_SERVICE: "loomio-backup-verify.service.j2",
    VERIFY_TIMER: "timer.j2",
    SAMPLE_SERVICE: "loomio-backup-verify.service.j2",
    SAMPLE_TIMER: "timer.j2",
    RESTORE_SERVICE: "loomio-restore.service.j2",
    UPDATE_SERVICE: "loomio-update.service.j2",
    SETTLE_SERVICE: "loomio-restore-settle.service.j2",
    SETTLE_PATH: "loomio-restore-settle.path.j2",
}
UNITS = "/etc/systemd/system"
#: The units that systemd keeps in mind; what is made from a template is read when it is started.
LOADED = tuple(unit for unit in TEMPLATES if "@." not in unit)
#: What each unit is lent, of what there is. A watch that is taken over knows no key at all.
BACKUP_CREDENTIALS = (names.IDENTITY, names.SIGNING_KEY, names.DRIVE, names.KEYRING)
PRUNE_CREDENTIALS = (names.DRIVE,)
WATCH_CREDENTIALS = (names.DRIVE, names.ALERTS)
#: A drill opens backups, and makes none.
VERIFY_CREDENTIALS = (names.IDENTITY, names.DRIVE, names.KEYRING)
RESTORE_CREDENTIALS = (*BACKUP_CREDENTIALS, names.LEGACY_PASSPHRASE)
#: Where Docker listens and keeps things: with the socket goes the Pi.
DOCKER = ("/run/docker.sock", "/run/containerd", "/var/lib/docker", "/var/lib/containerd")
#: A day that does not come again, for what is off: a timer without any is an error to systemd.
NEVER = ("1970-01-01 00:00:00 UTC",)
#: What ProtectHome= takes away.
HOMES = ("/home/", "/root/", "/run/user/")


@deploy("Schedule")
def bring(target: Target) -> None:
    """Bring all units that are not there in one go, where every second counts. `place` comes after it."""
    files_at_once(name="Bring the units", folder=UNITS, contents=contents(target))


@deploy("Schedule")
def place(target: Target) -> None:
    """Write the units and make systemd read them. Starts nothing, but from now on a restore that dies comes
    to its end by itself.
    """
    for unit, content in contents(target).items():
        files.put(
            name=f"Write {unit}",
            src=io.StringIO(content),
            dest=f"{UNITS}/{unit}",
            user="root",
            group="root",
            mode="0644",
            create_remote_dir=False,
        )
    units_loaded(name="Make systemd read the units", units=LOADED)
    units_active(name=f"Enable {SETTLE_PATH}", units=(SETTLE_PATH,))


def contents(target: Target) -> dict[str, str]:
    """The text of every unit by its name."""
    settings = target.settings
    backup = settings.backup
    present = agent_config.credentials(settings, target.secrets)

    def lent(*wanted: str) -> list[str]:
        return [name for name in wanted if present[name] is not None]

    common = {"command": AGENT_COMMAND, "credentials_directory": CREDENTIALS, "watch": WATCH_SERVICE}
    backing_up = {
        **common,
        **_sandbox(settings, readable=[settings.stack.directory], writable=[store_directory(backup)]),
        "credentials": lent(*BACKUP_CREDENTIALS)
        # The older format's passphrase opens what it writes; who does not write it does not need it.
        + (lent(names.LEGACY_PASSPHRASE) if backup.format == "fernet" else []),
    }
    drilling = {
        **common,
        **_sandbox(settings, readable=[settings.stack.directory, store_directory(backup)]),
        "credentials": lent(*VERIFY_CREDENTIALS),
        "longest_seconds": int(LONGEST.total_seconds()),
    }
    offline = settings.encryption.offline_key
    variables: dict[str, dict[str, object]] = {
        BACKUP_SERVICE: {**backing_up, "description": "Loomio backup", "arguments": "run --wait"},
        LABELLED_BACKUP: {
            **backing_up,
            "description": "Loomio backup %i",
            "arguments": "run --wait --label %i --pin",
        },
        BACKUP_TIMER: _timer(settings, "Loomio backup", backup.schedule),
        PRUNE_SERVICE: {
            **common,
            **_sandbox(settings, writable=[store_directory(backup)], inaccessible=DOCKER),
            "arguments": "prune --wait",
            "credentials": lent(*PRUNE_CREDENTIALS),
        },
        PRUNE_TIMER: _timer(settings, "Removal of old Loomio backups", backup.prune_schedule),
        WATCH_SERVICE: {
            **common,
            **_sandbox(
                settings,
                readable=[store_directory(backup)],
                writable=[directory_of(agent_config.metrics_file(settings))],
                inaccessible=DOCKER,
            ),
            "arguments": "watch",
            "credentials": lent(*WATCH_CREDENTIALS),
        },
        WATCH_TIMER: _timer(settings, "Watch over the Loomio backups", backup.watch_schedule),
        VERIFY_SERVICE: {
            **drilling,
            "description": "Drill: restore of the newest Loomio backup for proof",
            "arguments": "verify --wait",
            "lent_identity": LENT_TO_DRILL if offline else None,
        },
        VERIFY_TIMER: _timer(settings, "Drill of the Loomio backups", backup.verify_schedule),
        SAMPLE_SERVICE: {
            **drilling,
            "description": "Sampled drill: restore of the newest Loomio backup for proof",
            "arguments": "verify --wait --sample",
            "lent_identity": LENT_TO_SAMPLE if offline else None,
        },
        SAMPLE_TIMER: _timer(settings, "Sampled drill of the Loomio backups", backup.verify_sample_schedule),
        RESTORE_SERVICE: {
            **common,
            "credentials": lent(*RESTORE_CREDENTIALS),
            "lent_identity": LENT_IDENTITY if offline else None,
            "options": RESTORE_OPTIONS,
        },
        UPDATE_SERVICE: {
            **common,
            "credentials": lent(*RESTORE_CREDENTIALS),
            "lent_identity": LENT_TO_UPDATE if offline else None,
            "options": UPDATE_OPTIONS,
            "stack_directory": settings.stack.directory,
        },
        SETTLE_SERVICE: {
            **common,
            "credentials": lent(*RESTORE_CREDENTIALS),
            "lent_identity": None,
            "stack_directory": settings.stack.directory,
        },
        SETTLE_PATH: {"markers": (RESTORE_MARKER, UPDATE_MARKER)},
    }
    return {unit: render(template, **variables[unit]) for unit, template in TEMPLATES.items()}


def directory_of(file: str | None) -> str | None:
    """The directory that a file is in."""
    return file.rpartition("/")[0] if file else None


def store_directory(backup: BackupSettings) -> str | None:
    """The directory that holds the local store: the whole disk where it is on one of its own, because the
    store's folder may still have to be made there.
    """
    return (backup.local.mount_point or backup.local.path) if backup.local else None


def _sandbox(
    settings: Settings,
    *,
    readable: Sequence[str | None] = (),
    writable: Sequence[str | None] = (),
    inaccessible: Sequence[str] = (),
) -> dict[str, object]:
    """What sandbox.j2 asks for. The agent's own state can always be written."""
    wanted = [path for path in writable if path]
    return {
        # The dash: a disk that is not plugged in is for the agent to report, in words.
        "writable": [AGENT_STATE, *(f"-{path}" for path in wanted)],
        "home_writable": [path for path in wanted if path.startswith(HOMES)],
        "home_readable": [path for path in readable if path and path.startswith(HOMES)],
        "inaccessible": inaccessible,
    }


def _timer(settings: Settings, description: str, schedule: str | None) -> dict[str, object]:
    return {
        "description": description,
        "schedule": f"{schedule}, {settings.timezone}" if schedule else "off",
        "on_calendar": cron.on_calendar(schedule, settings.timezone) if schedule else NEVER,
        "jitter_seconds": settings.backup.jitter_seconds,
    }


@deploy("Schedule")
def enable() -> None:
    """Start the timers, now and at every boot: the last step of a setup and of a recovery. That of the
    backups comes last: a recovery that is run again takes it for the sign that all is done.
    """
    others = tuple(timer for timer in TIMERS if timer != BACKUP_TIMER)
    units_active(name="Enable the timers but for that of the backups", units=others)
    units_active(name=f"Enable {BACKUP_TIMER}", units=(BACKUP_TIMER,))
