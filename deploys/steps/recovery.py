"""What only a recovery does: refuse to replace live data, restore, verify, and say what was lost and how long
it took.
"""

from typing import Any

from pyinfra import logger
from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.operations import python

from deploys.facts.agent import RestoreResultFact
from deploys.facts.live_data import LiveDataFact
from deploys.facts.systemd import Unit, UnitsFact
from deploys.facts.web import WebStatusFact
from deploys.operations.restore import REPLACE, live_data_sentence, restored
from deploys.operations.run import complain, wait_until
from deploys.steps import privilege, verification
from deploys.steps.paths import BACKUP_TIMER, PROJECT, RESTORE_RESULT, RESTORE_SERVICE, WEB_URL
from deploys.steps.preflight import Target


def refuse_during_restore(host: Host, target: Target) -> None:
    """A setup would start the app in the middle of a restore. Raises DeployError while one runs."""
    unit = host.get_fact(UnitsFact, units=(RESTORE_SERVICE,)).get(RESTORE_SERVICE)
    if unit and unit.active in ("active", "activating"):
        raise DeployError(
            f"{target.name}: a restore is running on this Pi. Nothing was changed. "
            "Follow it with: loomio-pi deploy disaster_recovery"
        )


def refuse_live_data(host: Host, target: Target) -> None:
    """Raises DeployError where a recovery would replace data and was not told to."""
    if replace_wanted(host) or is_resumed(host):
        return
    live = host.get_fact(LiveDataFact, project=PROJECT)
    if live.state == "rows":
        raise DeployError(f"{target.name}: {live_data_sentence(live.tables)}")


def replace_wanted(host: Host) -> bool:
    """Whether the word was said. Any other value than yes is a mistake, and must not pass for a no."""
    word = host.data.get("replace_live_data")
    if word not in (None, False, True, "yes", "no"):
        raise DeployError(
            f"replace_live_data={word!r} is not understood. Nothing was changed. Say {REPLACE}, or leave it "
            "out."
        )
    return word in (True, "yes")


def is_resumed(host: Host) -> bool:
    """A recovery that was interrupted: its restore runs or is done, and its last step is to come."""
    units = host.get_fact(UnitsFact, units=(RESTORE_SERVICE, BACKUP_TIMER))
    restore = units.get(RESTORE_SERVICE)
    if restore and restore.active in ("active", "activating"):
        return True
    return is_restored(units.get(BACKUP_TIMER), host.get_fact(RestoreResultFact, path=RESTORE_RESULT))


def is_restored(timer: Unit | None, result: dict[str, Any] | None) -> bool:
    """The data is back, but the timer, which is enabled last, is not on."""
    return bool(result) and not (timer and timer.enabled == "enabled")


@deploy("Recovery")
def restore(host: Host, target: Target) -> None:
    """Bring the newest backup back, unless an interrupted recovery has done so already."""
    replace = replace_wanted(host)

    def needed() -> bool:
        units = host.get_fact(UnitsFact, units=(RESTORE_SERVICE, BACKUP_TIMER))
        done = is_restored(units.get(BACKUP_TIMER), host.get_fact(RestoreResultFact, path=RESTORE_RESULT))
        return replace or not done

    restored(
        name="Restore the newest backup from "
        + ("Google Drive" if target.settings.backup.drive else "the local store"),
        unit=RESTORE_SERVICE,
        project=PROJECT,
        replace=replace,
        _if=needed,
    )


@deploy("Recovery")
def verify(target: Target) -> None:
    """The web interface answers, and the agent finds the backup that it came from complete."""
    store = verification.store_of(target)

    def judge(state: State, host: Host) -> bool:
        as_root = privilege.arguments(host)
        if not wait_until(lambda: host.get_fact(WebStatusFact, url=WEB_URL) == 200, seconds=120):
            return complain(
                host, f"{WEB_URL} does not answer with 200. The data is restored; the app does not serve it."
            )
        problems = verification.backup_problems(host, store, recovered=True, **as_root)
        return complain(host, " ".join(problems)) if problems else True

    python.call(name="Verify what was recovered", function=judge)


@deploy("Recovery")
def report(target: Target) -> None:
    """Print which backup it was, how old it was, and what took how long."""

    def tell(state: State, host: Host) -> bool:
        result = host.get_fact(RestoreResultFact, path=RESTORE_RESULT, **privilege.arguments(host))
        for line in report_lines(target.name, result or {}):
            logger.info(f"{host.print_prefix}{line}")
        return True

    python.call(name="Report", function=tell)


def report_lines(name: str, result: dict[str, Any]) -> list[str]:
    """What a person wants to read at the end of that evening."""
    lines = [f"{name} is back."]
    if backup := result.get("backup"):
        lines.append(f"Restored: {backup}")
    if (age := result.get("age_seconds")) is not None:
        lines.append(f"It was {spoken(age)} old: what was written later than that is lost.")
    for phase, seconds in (result.get("phases") or {}).items():
        lines.append(f"  {phase:<28} {spoken(seconds)}")
    return lines


def spoken(seconds: float) -> str:
    """A duration as people say it."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"
