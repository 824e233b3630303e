"""Docker Compose, asked first: where all is as declared, these operations do nothing and count as nothing."""

import shlex
from collections.abc import Callable, Generator
from pathlib import PurePosixPath
from typing import Any

from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.compose import ComposeState, ComposeStateFact

from .callback import Callback
from .reasons import because, only_waits
from .run import complain, own_arguments, wait_until


@operation()
def compose_pull(directory: str, project: str, record: str) -> Generator[StringCommand, None, None]:
    """Pull the images that are absent. A newer image of the same tag is an update, which is another deploy's
    work.
    """
    found = host.get_fact(ComposeStateFact, directory=directory, project=project, record=record)
    if found is None:
        because("Docker does not run, or the stack is not there")
        yield StringCommand(f"cd {shlex.quote(directory)} && docker compose pull --quiet")
        return
    if not found.missing_images():
        host.noop("all images are here")
    for image in found.missing_images():
        because(f"the image {image} is absent")
        yield StringCommand(f"docker pull --quiet {shlex.quote(image)}")


@operation()
def pull_begun(images: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    """Begin to pull images in the background; `compose_pull` waits for what is under way, and says why where
    it fails.
    """
    because("it takes a while, and needs nothing of what comes next")
    # A newer image of the same tag is an update, which is another deploy's work.
    script = "; ".join(
        f"docker image inspect {image} >/dev/null 2>&1 || docker pull --quiet {image}"
        for image in map(shlex.quote, images)
    )
    yield StringCommand(
        "systemd-run --quiet --collect --no-block --unit=loomio-images-$$ --property=Type=oneshot "
        f"--property=TimeoutStartSec=3600 sh -c {shlex.quote(script)}"
    )


@operation()
def compose_up(
    directory: str, project: str, record: str, services: tuple[str, ...] = ()
) -> Generator[PyinfraCommand, None, None]:
    """Create, replace and start what differs from the compose file: all services, or only the given ones.

    `record` is the file on the Pi that keeps, after an `up` of all services, what they were brought up from.
    """
    found = host.get_fact(ComposeStateFact, directory=directory, project=project, record=record)
    if found is not None and found.is_up(services or None):
        host.noop("every container is as declared")
        return
    because(difference(found, services))
    selection = " ".join(services) or "--remove-orphans"
    yield StringCommand(
        f"cd {shlex.quote(directory)} && docker compose --progress plain --ansi never "
        f"up --detach --no-build --pull never {selection}"
    )
    if services:
        return
    for service in found.surplus() if found else ():
        # To Compose the service of a profile that is off is no orphan.
        yield StringCommand(removal(project, service))
    yield Callback(keep(directory, project, record, own_arguments(host)))


def keep(
    directory: str, project: str, record: str, arguments: dict[str, Any]
) -> Callable[[State, Host], bool]:
    """What writes down, after all was brought up, what it was brought up from."""

    def keep(state: State, host: Host) -> bool:
        now: ComposeState | None = host.get_fact(
            ComposeStateFact, directory=directory, project=project, record=record, **arguments
        )
        if now is None:
            return complain(host, "Docker stopped answering after the containers were started.")
        folder, file = shlex.quote(str(PurePosixPath(record).parent)), shlex.quote(record)
        script = f"mkdir -p {folder} && echo {now.fingerprint()} > {file}.new && mv -f {file}.new {file}"
        done, _output = host.run_shell_command(StringCommand(script), **arguments)
        return done

    return keep


def removal(project: str, service: str) -> str:
    """The shell command that stops and removes the containers of a service."""
    labels = f"--filter label=com.docker.compose.project={project} --filter label=com.docker.compose.service="
    containers = f"$(docker ps --all --quiet {labels}{shlex.quote(service)})"
    return f'for container in {containers}; do docker stop "$container" && docker rm "$container"; done'


def difference(found: ComposeState | None, services: tuple[str, ...]) -> str:
    """Why there is something to bring up."""
    if found is None:
        return "Docker does not run, or the stack is not there"
    absent = found.absent(services or None)
    if absent:
        return f"no running container: {', '.join(absent)}"
    if found.surplus():
        return f"turned off, and still there: {', '.join(found.surplus())}"
    if not found.applied:
        return "it is not known from what the containers were brought up"
    return "the configuration (.env, compose files), an image or a container has changed since the last up"


@operation()
def restarted_if_there(project: str, service: str) -> Generator[StringCommand, None, None]:
    """Restart the container of a service, unless it has none."""
    labels = f"--filter label=com.docker.compose.project={project} --filter label=com.docker.compose.service="
    yield StringCommand(
        f"for container in $(docker ps --quiet {labels}{shlex.quote(service)}); do "
        'docker restart "$container"; done'
    )


@operation()
def wait_healthy(
    directory: str, project: str, record: str, services: tuple[str, ...] = (), seconds: int = 900
) -> Generator[PyinfraCommand, None, None]:
    """Wait until all services (or the given ones) run and pass their health checks; fail with their names
    after `seconds`.
    """
    found = host.get_fact(ComposeStateFact, directory=directory, project=project, record=record)
    if found is not None and not found.unhealthy(services or None):
        host.noop("every service is healthy")
        return
    only_waits()
    arguments = own_arguments(host)

    def wait(state: State, host: Host) -> bool:
        latest: list[str] = []

        def healthy() -> bool:
            answer: ComposeState | None = host.get_fact(
                ComposeStateFact,
                directory=directory,
                project=project,
                record=record,
                **{**arguments, "_ignore_errors": True},
            )
            latest[:] = answer.unhealthy(services or None) if answer else ["Docker"]
            return not latest

        if wait_until(healthy, seconds=seconds, every=0.5):
            return True
        return complain(
            host,
            f"Not healthy after {seconds // 60} minutes: {', '.join(latest)}. Nothing was removed. Look at "
            "the reason on the "
            f"Pi with: cd {directory} && sudo docker compose logs --tail 50 {latest[0]}",
        )

    yield Callback(wait)
