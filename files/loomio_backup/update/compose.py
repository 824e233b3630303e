"""What an update asks of Docker Compose, in the stack's own directory."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from loomio_backup import docker
from loomio_backup.config import Config
from loomio_backup.drill import drill_app, drill_bench
from loomio_backup.errors import UpdateError
from loomio_backup.progress import Ticker
from loomio_backup.update.rehearsal import MIGRATE

_KEPT_SECONDS = 600
"""For database and Redis to come up: a cluster may have to read its log first."""


def migrate(config: Config) -> None:
    """Bring the live database's schema up to date, with the new image. Raises UpdateError."""
    command = ["run", "--rm", "--no-deps", "-T", config.app_service, *MIGRATE]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["docker", "compose", *command],
            cwd=config.stack_directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        ticker = Ticker("update")
        while (code := _ended(process)) is None:
            ticker.tick("the migration is running")
        output.seek(0)
        said = " ".join(output.read().decode(errors="replace").split())[-500:]
    if code != 0:
        raise UpdateError(f"the migration failed (exit code {code}): {said or 'it said nothing'}.")


def _ended(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(1)
    except subprocess.TimeoutExpired:
        return None


def try_app(config: Config) -> float:
    """Start the new version on the live data where nobody reaches it (no port, no name on the network), and
    have it answer; returns the seconds that it took. Raises UpdateError when it does not.
    """
    container = _compose(config, "run", "--detach", "--no-deps", "-T", config.app_service).splitlines()[-1]
    began = time.monotonic()
    answer = drill_app.answer_of(container, drill_app.health_of(container), {}, config.update.healthy_seconds)
    took = time.monotonic() - began
    docker.docker("stop", "-t", "30", container)
    docker.docker("rm", "-f", container)
    if answer != drill_app.ANSWERED:
        raise UpdateError(f"the new version does not run on the live data: {answer} (after {took:.0f} s).")
    return took


def start_others(config: Config, services: Sequence[str], steady_seconds: float) -> None:
    """Start what else runs from the app's image, for good, while people still wait outside. Raises
    UpdateError unless each stays up for so long (they load what the app loaded), and its own check, if it has
    one, says that it is healthy.
    """
    if not services:
        return
    _compose(config, "up", "--detach", "--no-deps", *services)
    began, ticker = time.monotonic(), Ticker("update")
    while True:
        waiting = []
        for service, state, restarts in _states(config, services):
            health = state.get("Health", {}).get("Status", "healthy")
            if restarts or not state["Running"] or health == "unhealthy":
                said = drill_bench.last_words(_container_of(config, service))
                raise UpdateError(
                    f"{service} of the new version does not run on the live data. It said: "
                    f"{said or 'nothing'}."
                )
            if health != "healthy":
                waiting.append(service)
        passed = time.monotonic() - began
        if not waiting and passed >= steady_seconds:
            return
        if waiting and passed > config.update.healthy_seconds:
            raise UpdateError(f"{', '.join(waiting)} of the new version did not become healthy.")
        ticker.tick(f"watching {', '.join(services)}")
        time.sleep(0.2)


def _states(config: Config, services: Sequence[str]) -> list[tuple[str, dict[str, Any], int]]:
    """The service of each container, its state, and how often Docker had to start it again."""
    ids = [_container_of(config, service) for service in services]
    found: list[dict[str, Any]] = json.loads(docker.docker("container", "inspect", *ids))
    label = "com.docker.compose.service"
    return [(entry["Config"]["Labels"][label], entry["State"], entry["RestartCount"]) for entry in found]


def _container_of(config: Config, service: str) -> str:
    for one in docker.containers(config.project):
        if one.service == service and not one.one_off:
            return one.id
    raise UpdateError(f"there is no container of {service}.")


def start_kept(config: Config) -> None:
    """Start the services that do not write by themselves (database, Redis) as `.env` now names them."""
    _compose(config, "up", "--detach", "--no-deps", *config.keep_services)
    deadline, ticker = time.monotonic() + _KEPT_SECONDS, Ticker("update")
    while waiting := _not_healthy(config, config.keep_services):
        if time.monotonic() > deadline:
            raise UpdateError(f"{', '.join(waiting)} did not come up within {_KEPT_SECONDS // 60} minutes.")
        ticker.tick(f"waiting for {', '.join(waiting)}")
        time.sleep(0.5)


def stop_kept(config: Config) -> None:
    """Stop these services and remove their containers (never their volumes)."""
    found = [one for one in docker.containers(config.project) if one.service in config.keep_services]
    if found:
        ids = [one.id for one in found]
        docker.docker("stop", "-t", "120", *ids)
        docker.docker("rm", "-f", *ids)


def _not_healthy(config: Config, services: Sequence[str]) -> list[str]:
    found = {one.service: one.id for one in docker.containers(config.project) if not one.one_off}
    missing = [service for service in services if service not in found]
    states: list[dict[str, Any]] = json.loads(
        docker.docker("container", "inspect", *(found[name] for name in services if name in found))
    )
    return missing + [
        entry["Config"]["Labels"]["com.docker.compose.service"]
        for entry in states
        if not entry["State"]["Running"]
        or entry["State"].get("Health", {}).get("Status", "healthy") != "healthy"
    ]


def _compose(config: Config, *arguments: str) -> str:
    done = subprocess.run(
        ["docker", "compose", *arguments],
        cwd=config.stack_directory,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[-500:]
        raise UpdateError(f"docker compose {arguments[0]} failed: {said}.")
    return done.stdout.decode(errors="replace").strip()
