"""Reads what the Pi and its backups say about themselves, and judges it. Changes nothing."""

from typing import Any

from pyinfra import logger
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host

from deploys.facts.agent import BackupCheckFact
from deploys.facts.compose import ComposeState, ComposeStateFact
from deploys.facts.systemd import Unit, UnitsFact
from deploys.facts.web import WebStatusFact
from deploys.steps.paths import (
    BACKUP_SERVICE,
    BACKUP_TIMER,
    COMPOSE_RECORD,
    PROJECT,
    PRUNE_SERVICE,
    PRUNE_TIMER,
    SAMPLE_TIMER,
    TIMERS,
    VERIFY_TIMER,
    WATCH_SERVICE,
    WATCH_TIMER,
    WEB_URL,
)
from deploys.steps.preflight import Target

#: What does not happen without the timer; what has failed when the service has.
_TIMERS = {
    BACKUP_TIMER: "no backups are made",
    PRUNE_TIMER: "old backups are not cleared up",
    WATCH_TIMER: "nobody is told when backups fail",
    VERIFY_TIMER: "no backup is restored for proof",
    SAMPLE_TIMER: "no backup is sampled for proof",
}
_SERVICES = {
    BACKUP_SERVICE: "The last backup",
    PRUNE_SERVICE: "The last removal of old backups",
    WATCH_SERVICE: "The watch over the backups",
}


def check(host: Host, target: Target) -> None:
    """Look at everything, then raise one DeployError with all that is wrong, or say that all is well."""
    directory = target.settings.stack.directory
    store = store_of(target)
    units = host.get_fact(UnitsFact, units=(*TIMERS, *_SERVICES))
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
        f"{host.print_prefix}All services are healthy, the timers are active, "
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
    """Sentences about the units that make the backups, clear them up and watch over them."""
    problems = []
    for name, consequence in _TIMERS.items():
        timer = units.get(name)
        if not timer or timer.active != "active" or timer.enabled != "enabled":
            problems.append(f"{name} is not active, so {consequence}: run loomio-pi deploy setup.")
    for name, what in _SERVICES.items():
        service = units.get(name)
        if service and service.active == "failed":
            problems.append(f"{what} failed ({service.result}; on the Pi: sudo journalctl -u {name} -n 30).")
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
