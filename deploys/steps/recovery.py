"""What only a recovery does: refuse to replace live data, restore, and verify before backups go on."""

from dataclasses import dataclass
from typing import Any

from pyinfra import logger
from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.facts.files import File

from deploys.facts.agent import RestoreAskedFact, RestoreState, RestoreStateFact
from deploys.facts.live_data import LiveDataFact
from deploys.facts.systemd import Unit, UnitsFact
from deploys.facts.web import WebStatusFact
from deploys.operations.callback import call
from deploys.operations.restore import Files, live_data_sentence, options_of, restored
from deploys.operations.run import complain, wait_until
from deploys.steps import agent_config, candidate, privilege, verification
from deploys.steps.paths import (
    BACKUP_TIMER,
    DATABASE_BEGUN,
    LENT_IDENTITY,
    RESTORE_ASKED,
    RESTORE_JOURNAL,
    RESTORE_MARKER,
    RESTORE_OPTIONS,
    RESTORE_RESULT,
    RESTORE_SERVICE,
)
from deploys.steps.preflight import Target

#: Where the Pi has a restore written down.
FILES = Files(RESTORE_OPTIONS, RESTORE_ASKED, RESTORE_JOURNAL, RESTORE_RESULT)
#: What follows from a verification that failed: the timer is the last step.
BACKUPS_ARE_OFF = "Scheduled backups are still off. When the reason is gone, run the same command again."


def refuse_during_restore(host: Host, target: Target) -> None:
    """A setup would start the app in the middle of a restore. Raises DeployError while one is unfinished,
    whoever started it.
    """
    situation = _situation(host)
    if situation.running or situation.unfinished:
        word = "is running" if situation.running else "was interrupted half-way"
        raise DeployError(
            f"{target.name}: a restore {word} on this Pi. Nothing was changed. "
            "Follow it to its end with: loomio-pi deploy disaster_recovery"
        )
    if situation.state.journal == "preparing" and host.get_fact(File, path=RESTORE_MARKER):
        # Started by hand, or killed a moment ago. One that waits for nothing but its start is no obstacle:
        # what keeps the stack from starting may be what a setup is to mend.
        raise DeployError(
            f"{target.name}: a restore that was started on this Pi itself is not at its end. Nothing was "
            "changed. Wait for it on the Pi with: sudo loomio-backup settle; then run the same again"
        )


def refuse_live_data(host: Host, target: Target) -> None:
    """Raises DeployError where a recovery would replace data and was not told to, or where that cannot be
    told: before anything is written.
    """
    situation = _situation(host)
    if replace_wanted(host) or situation.running or situation.unfinished or situation.restored:
        return
    layout = target.settings.stack.layout
    live = host.get_fact(
        LiveDataFact,
        project=layout.project,
        service=layout.database,
        volume=layout.volume(layout.database_volume),
    )
    if live.state == "rows":
        raise DeployError(f"{target.name}: {live_data_sentence(live.tables, situation.recovered)}")
    # Where the first start of the database was cut off there is a volume, and none of its data is anybody's.
    if live.unread and not host.get_fact(File, path=DATABASE_BEGUN):
        raise DeployError(
            f"{target.name}: there is a database on this Pi, and whether it holds data cannot be told "
            f"({live.reason}). Nothing was changed. Start it, on the Pi, and run the same command again: "
            f"cd {target.settings.stack.directory} && sudo docker compose up -d --wait {layout.database}"
        )


def replace_wanted(host: Host) -> bool:
    """Whether live data may be replaced. Raises DeployError as `said_yes`."""
    return said_yes(host, "replace_live_data")


def said_yes(host: Host, key: str) -> bool:
    """Whether the word was said. Any other value than yes is a mistake, and must not pass for a no."""
    word = host.data.get(key)
    if word not in (None, False, True, "yes", "no"):
        raise DeployError(
            f"{key}={word!r} is not understood. Nothing was changed. Say --data {key}=yes, or leave it out."
        )
    return word in (True, "yes")


def unfinished(host: Host) -> bool:
    """Whether a restore had begun to replace what is live when it was interrupted."""
    return _situation(host).unfinished


def taken_up(host: Host, target: Target) -> bool:
    """Whether an earlier run has chosen the backup: its restore runs, must be finished, or is done."""
    situation, replace = _situation(host), replace_wanted(host)
    asked = host.get_fact(RestoreAskedFact, path=RESTORE_ASKED)
    options = " ".join(options_of(_wanted(target), replace))
    done = (situation.restored and not replace) or (asked and asked.ended(options, situation.state))
    return situation.running or situation.unfinished or bool(done)


def _wanted(target: Target) -> tuple[str, ...]:
    return "--newest", "--store", verification.store_of(target), "--leave-stopped"


@dataclass(frozen=True)
class Situation:
    """Where a recovery that was started before has come to."""

    restore: Unit | None
    timer: Unit | None
    state: RestoreState

    @property
    def running(self) -> bool:
        """The restore runs now."""
        return bool(self.restore and self.restore.running)

    @property
    def unfinished(self) -> bool:
        """The restore had begun to replace what is live when it was interrupted: it can only be finished."""
        return self.state.journal in ("switching", "clearing")

    @property
    def restored(self) -> bool:
        """The data is back, but the timer, which is enabled last, is not on: the rest is to be done."""
        finished = self.state.result is not None and self.state.journal == "done"
        return finished and not (self.timer and self.timer.enabled == "enabled")

    @property
    def recovered(self) -> str | None:
        """The backup that the data came out of, where nothing is left to be done after its restore."""
        if self.state.journal != "done" or self.state.result is None or self.restored:
            return None
        return self.state.result.get("backup")


def _situation(host: Host) -> Situation:
    units = host.get_fact(UnitsFact, units=(RESTORE_SERVICE, BACKUP_TIMER))
    state = host.get_fact(RestoreStateFact, journal=RESTORE_JOURNAL, result=RESTORE_RESULT)
    return Situation(units.get(RESTORE_SERVICE), units.get(BACKUP_TIMER), state)


@deploy("Recovery")
def restore(host: Host, target: Target) -> None:
    """Bring the newest backup back, unless an interrupted recovery has done so already."""
    situation = _situation(host)
    replace = replace_wanted(host)
    offline, layout = target.settings.encryption.offline_key, target.settings.stack.layout
    if situation.restored and not replace:
        logger.info(f"{host.print_prefix}The data was restored before; going on from there.")
        return
    restored(
        name="Restore the newest backup from "
        + ("Google Drive" if target.settings.backup.drive else "the local store"),
        unit=RESTORE_SERVICE,
        project=layout.project,
        database=(layout.database, layout.volume(layout.database_volume)),
        files=FILES,
        wanted=_wanted(target),
        replace=replace,
        finish=situation.unfinished,
        lent_identity=LENT_IDENTITY,
        identity=agent_config.identities(target.secrets) if offline else None,
        put_off=BACKUP_TIMER,
    )


@deploy("Recovery")
def verify(target: Target) -> None:
    """The web interface answers, and the agent finds the backup that it came from complete."""
    store = verification.store_of(target)
    url = target.settings.stack.layout.web_url

    def judge(state: State, host: Host) -> bool:
        as_root = privilege.arguments(host)
        if not wait_until(lambda: host.get_fact(WebStatusFact, url=url) == 200, seconds=120):
            return complain(
                host,
                f"{url} does not answer with 200. The data is restored; the app does not serve it. "
                f"{BACKUPS_ARE_OFF}",
            )
        problems = verification.backup_problems(host, store, recovered=True, **as_root)
        if problems and _came_back_whole(host, target, as_root):
            # What is wrong with other backups stays so, however often this is run again: people are told.
            logger.warning(f"{host.print_prefix}{' '.join(problems)}")
            return True
        return complain(host, " ".join([*problems, BACKUPS_ARE_OFF])) if problems else True

    call(name="Verify what was recovered", function=judge)


def _came_back_whole(host: Host, target: Target, as_root: dict[str, Any]) -> bool:
    """Whether the backup that came back is whole in the store, whatever is wrong with others there."""
    found = host.get_fact(RestoreStateFact, journal=RESTORE_JOURNAL, result=RESTORE_RESULT, **as_root)
    backup = (found.result or {}).get("backup")
    if not backup:
        return False
    answer = candidate.ask(host, target, backup=str(backup))
    # Of a backup that is asked for by name, this says what it lacks.
    return isinstance(answer, dict) and answer["backup"] == backup and not answer["passed_over"]
