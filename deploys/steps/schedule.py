"""The units: a backup that runs on schedule, and a restore that only a recovery starts."""

import io

from pyinfra.api.deploy import deploy
from pyinfra.operations import files

from deploys.operations.systemd import timer_active, units_loaded
from deploys.steps import agent_config, cron
from deploys.steps.paths import (
    AGENT_COMMAND,
    AGENT_STATE,
    BACKUP_SERVICE,
    BACKUP_TIMER,
    CREDENTIALS,
    RESTORE_OPTIONS,
    RESTORE_SERVICE,
)
from deploys.steps.preflight import Target
from deploys.steps.templates import render

UNITS = (BACKUP_SERVICE, BACKUP_TIMER, RESTORE_SERVICE)


@deploy("Schedule")
def place(target: Target) -> None:
    """Write the units and make systemd read them. Starts nothing."""
    for unit, content in contents(target).items():
        files.put(
            name=f"Write {unit}",
            src=io.StringIO(content),
            dest=f"/etc/systemd/system/{unit}",
            user="root",
            group="root",
            mode="0644",
            create_remote_dir=False,
        )
    units_loaded(name="Make systemd read the units", units=UNITS)


def contents(target: Target) -> dict[str, str]:
    """The text of every unit by its name."""
    backup = target.settings.backup
    present = agent_config.credentials(target.settings, target.secrets)
    common = {
        "command": AGENT_COMMAND,
        "credentials": [name for name, content in present.items() if content is not None],
        "credentials_directory": CREDENTIALS,
    }
    variables: dict[str, dict[str, object]] = {
        # The dash: a disk that is not plugged in is for the agent to report, in words.
        BACKUP_SERVICE: {
            **common,
            "writable": [AGENT_STATE, *([f"-{backup.local.path}"] if backup.local else [])],
        },
        BACKUP_TIMER: {
            "schedule": f"{backup.schedule}, {target.settings.timezone}",
            "on_calendar": cron.on_calendar(backup.schedule, target.settings.timezone),
            "jitter_seconds": backup.jitter_seconds,
        },
        RESTORE_SERVICE: {
            **common,
            "store": "drive" if backup.drive else "local",
            "options": RESTORE_OPTIONS,
        },
    }
    return {unit: render(f"{unit}.j2", **variables[unit]) for unit in UNITS}


@deploy("Schedule")
def enable() -> None:
    """Start the timer, now and at every boot: the last step of a setup and of a recovery."""
    timer_active(name="Enable the backup timer", unit=BACKUP_TIMER)
