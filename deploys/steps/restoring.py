"""A restore on a running Pi, asked for by the operator: what is wanted, done through the unit, told at the
end.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from deploys.facts.web import WebStatusFact
from deploys.operations.callback import call
from deploys.operations.restore import restored
from deploys.operations.run import complain, wait_until
from deploys.steps import agent_config, recovery, verification
from deploys.steps.paths import LENT_IDENTITY, RESTORE_SERVICE
from deploys.steps.preflight import Target

_NAME = re.compile(r"loomio_backup_\d{8}_\d{6}\w*")


@dataclass(frozen=True)
class Wish:
    """The agent's options that say what is wanted, the same in words, and whether live data may go."""

    options: tuple[str, ...]
    words: str
    replace: bool


def wanted(host: Host) -> Wish:
    """What was given with --data. Raises DeployError, before anything is asked of the Pi."""
    backup, before, only = (host.data.get(key) for key in ("backup", "before", "only"))
    if backup is not None and before is not None:
        raise DeployError("backup and before cannot both be given. Nothing was done.")
    if backup is not None and not (isinstance(backup, str) and _NAME.fullmatch(backup)):
        raise DeployError(
            f"{backup!r} is no backup's name. Nothing was done. On the Pi, sudo loomio-backup list shows "
            "them: --data backup=loomio_backup_20261122_140000"
        )
    options, words = ["--newest"], "the newest backup"
    if backup is not None:
        options, words = ["--backup", backup], backup
    elif before is not None:
        options, words = ["--before", _moment(before)], f"the newest backup of before {before}"
    if only is not None:
        if only not in ("database", "files"):
            raise DeployError(f"only={only!r} is not understood. Nothing was done. Say database or files.")
        options += ["--only", only]
        words = f"the {only} of {words}"
    if recovery.said_yes(host, "streaming"):
        options.append("--streaming")
    # An app that is newer than its data changes the data at once: choice.follow_backup starts the right one.
    options.append("--leave-other-version-stopped")
    return Wish(tuple(options), words, recovery.replace_wanted(host))


def _moment(text: object) -> str:
    try:
        return datetime.fromisoformat(str(text)).isoformat()
    except ValueError:
        raise DeployError(
            f"before={text!r} is no time. Nothing was done. Say for example --data before=2026-11-22T14:30 "
            "(in the Pi's time zone)."
        ) from None


@deploy("Restore")
def restore(host: Host, target: Target, wish: Wish) -> None:
    """Bring the data back; or follow, or finish, the restore that has begun."""
    offline, layout = target.settings.encryption.offline_key, target.settings.stack.layout
    restored(
        name=f"Restore {wish.words}",
        unit=RESTORE_SERVICE,
        project=layout.project,
        database=(layout.database, layout.volume(layout.database_volume)),
        files=recovery.FILES,
        wanted=wish.options,
        replace=wish.replace,
        finish=recovery.unfinished(host),
        lent_identity=LENT_IDENTITY,
        identity=agent_config.identities(target.secrets) if offline else None,
    )


@deploy("Restore")
def verify(target: Target) -> None:
    """The web interface answers."""
    url = target.settings.stack.layout.web_url

    def judge(state: State, host: Host) -> bool:
        if wait_until(lambda: host.get_fact(WebStatusFact, url=url) == 200, seconds=120):
            return True
        problems = verification.web_problems(host.get_fact(WebStatusFact, url=url), url)
        back = "To go back to what was there before, type on the Pi: sudo loomio-backup undo"
        return complain(host, f"{' '.join(problems)} The data is restored. {back}")

    call(name="Look whether Loomio answers", function=judge)
