"""Reads what the Pi and its backups say about themselves, and judges it. Changes nothing."""

from typing import Any

from pyinfra import logger
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host

from deploys.facts.agent import BackupCheckFact
from deploys.facts.compose import ComposeState, ComposeStateFact
from deploys.facts.systemd import Unit, UnitsFact
from deploys.facts.web import WebStatusFact
from deploys.steps.paths import BACKUP_SERVICE, BACKUP_TIMER, COMPOSE_RECORD, PROJECT, WEB_URL
from deploys.steps.preflight import Target


def check(host: Host, target: Target) -> None:
    """Look at everything, then raise one DeployError with all that is wrong, or say that all is well."""
    directory = target.settings.stack.directory
    store = store_of(target)
    units = host.get_fact(UnitsFact, units=(BACKUP_TIMER, BACKUP_SERVICE))
    stack = host.get_fact(ComposeStateFact, directory=directory, project=PROJECT, record=COMPOSE_RECORD)
    problems = [
        *stack_problems(stack),
        *web_problems(host.get_fact(WebStatusFact, url=WEB_URL)),
        *timer_problems(units),
        *backup_problems(host, store),
    ]
    if problems:
        raise DeployError(f"{target.name}: {' '.join(problems)} Nothing was changed.")
    place = "Google Drive" if store == "drive" else "the local store (no Drive is configured)"
    logger.info(
        f"{host.print_prefix}All services are healthy, the backup timer is active, "
        f"and the newest backup in {place} is complete and young enough."
    )


def store_of(target: Target) -> str:
    """The store that counts: Drive, or the local one where there is no Drive."""
    return "drive" if target.settings.backup.drive else "local"


def stack_problems(state: ComposeState | None) -> list[str]:
    """Sentences about services that are not as they should be."""
    if state is None:
        return ["Docker does not run, or the stack is not set up: run loomio-pi deploy setup."]
    unhealthy = state.unhealthy()
    if unhealthy:
        return [
            f"Not healthy: {', '.join(unhealthy)} (on the Pi: sudo docker compose logs --tail 50 "
            f"{unhealthy[0]})."
        ]
    return []


def web_problems(status: int) -> list[str]:
    """Sentences about the web interface."""
    if status == 200:
        return []
    answer = f"answers with status {status}" if status else "does not answer"
    return [f"The web interface {answer} on {WEB_URL}."]


def timer_problems(units: dict[str, Unit]) -> list[str]:
    """Sentences about the units that make the backups."""
    problems = []
    timer = units.get(BACKUP_TIMER)
    if not timer or timer.active != "active" or timer.enabled != "enabled":
        problems.append(f"{BACKUP_TIMER} is not active, so no backups are made: run loomio-pi deploy setup.")
    service = units.get(BACKUP_SERVICE)
    if service and service.active == "failed":
        problems.append(
            f"The last backup failed ({service.result}; on the Pi: sudo journalctl -u {BACKUP_SERVICE} -n "
            "30)."
        )
    return problems


def backup_problems(host: Host, store: str, *, recovered: bool = False, **arguments: Any) -> list[str]:
    """Sentences about the newest backup in `store`. After a recovery (`recovered`) its age is not held
    against it.
    """
    return verdict_problems(
        host.get_fact(BackupCheckFact, store=store, **arguments), store, recovered=recovered
    )


def verdict_problems(verdict: dict[str, Any] | None, store: str, *, recovered: bool = False) -> list[str]:
    """Sentences about the agent's verdict."""
    if verdict is None:
        return [
            "The agent gives no verdict on the backups (on the Pi: sudo loomio-backup check --store "
            f"{store})."
        ]
    if recovered and verdict.get("complete"):
        return []
    if verdict.get("ok"):
        return []
    found = verdict.get("problems") or ["the newest backup is not as it should be"]
    return [f"Backups in {store}: {'; '.join(str(problem) for problem in found)}."]
