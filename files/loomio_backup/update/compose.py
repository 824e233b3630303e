"""What an update asks of Docker Compose, in the stack's own directory."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from loomio_backup import docker
from loomio_backup.config import Config
from loomio_backup.drill import drill_app
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


def try_app(config: Config) -> None:
    """Start the new version on the live data where nobody reaches it (no port, no name on the network), and
    have it answer. Raises UpdateError when it does not.
    """
    container = _compose(config, "run", "--detach", "--no-deps", "-T", config.app_service).splitlines()[-1]
    began = time.monotonic()
    answer = drill_app.answer_of(container, drill_app.health_of(container), {}, config.update.healthy_seconds)
    docker.docker("stop", "-t", "30", container)
    docker.docker("rm", "-f", container)
    if answer != drill_app.ANSWERED:
        raise UpdateError(
            f"the new version does not run on the live data: {answer} (after "
            f"{time.monotonic() - began:.0f} s)."
        )


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
