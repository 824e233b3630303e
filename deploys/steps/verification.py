"""Reads what the Pi and its backups say about themselves, and judges it. Changes nothing."""

from typing import Any

from pyinfra.api.host import Host

from deploys.facts.agent import BackupCheckFact
from deploys.facts.checksums import DataChecksums, DataChecksumsFact
from deploys.facts.compose import ComposeState, ComposeStateFact
from deploys.facts.systemd import Unit, UnitsFact
from deploys.facts.web import WebStatusFact
from deploys.steps import hourly
from deploys.steps.paths import (
    BACKUP_SERVICE,
    BACKUP_TIMER,
    COMPOSE_RECORD,
    HOURLY_SERVICE,
    HOURLY_TIMER,
    PRUNE_SERVICE,
    PRUNE_TIMER,
    SAMPLE_SERVICE,
    SAMPLE_TIMER,
    TIMERS,
    VERIFY_SERVICE,
    VERIFY_TIMER,
    WATCH_SERVICE,
    WATCH_TIMER,
)
from deploys.steps.preflight import Target
from deploys.steps.verdicts import Verdict

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
    VERIFY_SERVICE: "The last drill",
    SAMPLE_SERVICE: "The last drill with a sample",
}
#: Whose earlier failure a drill makes good that is to be made now.
_MADE_GOOD = {
    "whole": (VERIFY_SERVICE, SAMPLE_SERVICE),
    "sample": (SAMPLE_SERVICE,),
    "off": (),
}


def judge(host: Host, target: Target, verdict: Verdict, drill: str) -> None:
    """Look at services, web interface, timers and the newest backup, and put into the verdict what is wrong.

    `drill` is what comes next: whole, sample or off.
    """
    store, layout = store_of(target), target.settings.stack.layout
    services = {name: what for name, what in _SERVICES.items() if name not in _MADE_GOOD[drill]}
    units = host.get_fact(UnitsFact, units=(*TIMERS, *services, *hourly.UNITS))
    stack = host.get_fact(
        ComposeStateFact,
        directory=target.settings.stack.directory,
        project=layout.project,
        record=COMPOSE_RECORD,
    )
    verdict.backups = host.get_fact(BackupCheckFact, store=store)
    database = host.get_fact(DataChecksumsFact, project=layout.project, service=layout.database)
    verdict.checksums = database.on if database else None
    verdict.problems += [
        *stack_problems(stack),
        *checksum_problems(database),
        *web_problems(host.get_fact(WebStatusFact, url=layout.web_url), layout.web_url),
        *timer_problems(units, services),
        *hourly_problems(units, hourly.needed(target.settings)),
        *verdict_problems(verdict.backups, store),
    ]


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


def checksum_problems(database: DataChecksums | None) -> list[str]:
    """Sentences about pages that came back from the disk otherwise than they were written."""
    if database is None or not database.failures:
        return []
    return [
        f"The database has met {database.failures} damaged pages: the SD card or disk is failing. The "
        "backups are untouched. Make one now, while the data can be read (loomio-pi deploy backup), and "
        "put in a new card."
    ]


def web_problems(status: int, url: str) -> list[str]:
    """Sentences about the web interface."""
    if status == 200:
        return []
    answer = f"answers with status {status}" if status else "does not answer"
    return [f"The web interface {answer} on {url}."]


def timer_problems(units: dict[str, Unit], services: dict[str, str]) -> list[str]:
    """Sentences about the units that make the backups, clear them up and watch over them."""
    problems = []
    for name, consequence in _TIMERS.items():
        timer = units.get(name)
        if not timer or timer.active != "active" or timer.enabled != "enabled":
            problems.append(f"{name} is not active, so {consequence}: run loomio-pi deploy setup.")
    for name, what in services.items():
        service = units.get(name)
        if service and service.active == "failed":
            problems.append(f"{what} failed ({service.result}; on the Pi: sudo journalctl -u {name} -n 30).")
    return problems


def hourly_problems(units: dict[str, Unit], needed: bool) -> list[str]:
    """Sentences about the units that run Loomio's own chores, where somebody has to."""
    if not needed:
        return []
    timer, service = units.get(HOURLY_TIMER), units.get(HOURLY_SERVICE)
    if not timer or timer.active != "active" or timer.enabled != "enabled":
        return [f"{HOURLY_TIMER} is not active, so polls do not close: run loomio-pi deploy setup."]
    if service and service.active == "failed":
        look = f"on the Pi: sudo journalctl -u {HOURLY_SERVICE} -n 30"
        return [f"Loomio's hourly chores failed ({service.result}; {look})."]
    return []


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
