"""What `loomio-pi doctor` looks at last: the agent, Google Drive, the newest backup, the last drill."""

from collections.abc import Iterator, Sequence
from typing import Any

from deploys.console.agent_here import Operator
from deploys.console.doctor_finding import Finding, problem, well
from deploys.console.pi_ssh import PiConnection
from deploys.facts.agent import BackupCheckFact, StatusFact
from deploys.steps import verification
from deploys.steps.verdicts import drill_line
from loomio_backup.catalogue.manifest import is_manifest
from loomio_backup.errors import StoreError
from loomio_backup.stores.drive import DriveFolder

_DRILL = "loomio-pi deploy verify makes one now"


def backups(operator: Operator, pi: PiConnection, timers: Sequence[str]) -> Iterator[Finding]:
    """`timers`: what is wrong with those that start the agent."""
    status = pi.asked("asking the agent", StatusFact())
    if status is None:
        yield problem("the agent, loomio-backup, does not answer", "loomio-pi deploy setup")
        return
    for sentence in timers:
        yield problem(sentence.removesuffix("."))
    if not timers:
        yield well("the agent is there, and its timers run")
    if operator.settings.backup.drive is not None:
        yield _drive(operator)
    store = "drive" if operator.settings.backup.drive else "local"
    verdict = pi.asked("looking at the backups", BackupCheckFact(), store=store)
    wrong = verification.verdict_problems(verdict, store)
    for sentence in wrong:
        yield problem(sentence.removesuffix("."), "on the Pi: sudo loomio-backup status")
    if not wrong and verdict is not None:
        yield well(f"the newest backup in {store} is {verdict.get('backup')}")
    yield _drill(status, store)


def _drive(operator: Operator) -> Finding:
    """Whether Google lets the account in, and what it sees; nothing is made there."""
    settings = operator.on_the_pi().stores.drive
    credentials = operator.secrets.drive.credentials
    assert settings is not None and credentials is not None
    try:
        found = sum(1 for one in DriveFolder(settings, credentials).list() if is_manifest(one.name))
    except StoreError as error:
        return problem(f"Google Drive: {error}")
    return well(f"Google Drive can be used, with {found} backups in it")


def _drill(status: dict[str, Any], store: str) -> Finding:
    stores = {one.get("store") or one.get("name"): one for one in status.get("stores") or []}
    drill = ((stores.get(store) or {}).get("drills") or {}).get("last")
    if not drill:
        return problem(f"no backup in {store} was ever restored for proof", _DRILL)
    line = f"the last drill {drill_line(drill)}"
    return well(line) if drill.get("passed") else problem(line, _DRILL)
