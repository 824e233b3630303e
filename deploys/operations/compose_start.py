"""Start the stack as `docker compose up` does, without the waiting: Docker looks at a container's health once
in an interval, and whatever depends on it waits until it has. In a recovery this is ten seconds of nothing;
here the check is asked as soon as the container runs.
"""

import shlex
from collections.abc import Generator, Sequence

from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.compose import ComposeState, ComposeStateFact
from deploys.facts.containers import ContainersFact, Running

from .callback import Callback
from .compose import difference, keep, removal
from .reasons import because
from .run import complain, own_arguments, wait_until


@operation()
def compose_started(
    directory: str, project: str, record: str, services: tuple[str, ...] = (), seconds: int = 900
) -> Generator[PyinfraCommand, None, None]:
    """As `compose_up` and `wait_healthy`: create or replace what differs from the compose file (all services,
    or the given ones and what they need), start it in the order of the dependencies, and wait until all of
    it is ready; fail with the names after `seconds`.
    """
    found = host.get_fact(ComposeStateFact, directory=directory, project=project, record=record)
    if found is not None and found.is_up(services or None) and not found.unhealthy(services or None):
        host.noop("every container is as declared, and healthy")
        return
    because(difference(found, services))
    selection = " ".join(services) or "--remove-orphans"
    yield StringCommand(
        f"cd {shlex.quote(directory)} && docker compose --progress plain --ansi never "
        f"up --no-start --no-build --pull never {selection}"
    )
    arguments = own_arguments(host)

    def start(state: State, host: Host) -> bool:
        asked: dict[str, object] = {"directory": directory, "project": project, "record": record}
        now: ComposeState | None = host.get_fact(ComposeStateFact, **asked, **arguments)
        wanted = services or (now.services if now else ())
        if not wanted:
            return complain(host, "Docker stopped answering after the containers were created.")
        return _start(host, directory, project, wanted, seconds)

    yield Callback(start)
    if services:
        return
    for service in found.surplus() if found else ():
        # To Compose the service of a profile that is off is no orphan.
        yield StringCommand(removal(project, service))
    yield Callback(keep(directory, project, record, arguments))


def _start(host: Host, directory: str, project: str, wanted: Sequence[str], seconds: float) -> bool:
    arguments = own_arguments(host)
    begun: set[str] = set()
    late: list[str] = []
    refused: list[str] = []

    def all_ready() -> bool:
        containers = host.get_fact(ContainersFact, project=project, **arguments)
        needed = closure(containers, wanted)
        late[:] = waiting(containers, needed)
        due = [one for one in startable(containers, needed) if one not in begun]
        if due:
            begun.update(due)
            done, output = host.run_shell_command(StringCommand("docker", "start", *due), **arguments)
            if not done:
                refused[:] = output.stderr_lines[-1:] or ["no reason given"]
                return True
        return not late

    in_time = wait_until(all_ready, seconds=seconds, every=0.2)
    if refused:
        return complain(host, f"Docker could not start {', '.join(late)}: {refused[0]} Nothing was removed.")
    if in_time:
        return True
    return complain(
        host,
        f"Not healthy after {seconds // 60:.0f} minutes: {', '.join(late)}. Nothing was removed. Look at "
        "the reason on the "
        f"Pi with: cd {directory} && sudo docker compose logs --tail 50 {late[0]}",
    )


def closure(containers: Sequence[Running], wanted: Sequence[str]) -> set[str]:
    """These services, and all that they need."""
    found, left = set[str](), list(wanted)
    while left:
        service = left.pop()
        if service not in found:
            found.add(service)
            left += [need for one in containers if one.service == service for need in one.needs]
    return found


def startable(containers: Sequence[Running], services: set[str]) -> list[str]:
    """Ids of those containers of these services that do not run while all that they need is there."""

    def met(need: str, condition: str) -> bool:
        those = [one for one in containers if one.service == need]
        return bool(those) and all(one.fulfils(condition) for one in those)

    return [
        one.id
        for one in containers
        if one.service in services
        and one.status in ("created", "exited")
        and all(met(need, condition) for need, condition in one.needs.items())
    ]


def waiting(containers: Sequence[Running], services: set[str]) -> list[str]:
    """Which of these services are not there yet: ready, or at the end where another waits for that."""
    final = {
        need
        for one in containers
        for need, condition in one.needs.items()
        if condition == "service_completed_successfully"
    }

    def there(service: str) -> bool:
        those = [one for one in containers if one.service == service]
        ended = service in final and all(one.fulfils("service_completed_successfully") for one in those)
        return bool(those) and (ended or all(one.ready for one in those))

    return sorted(service for service in services if not there(service))
