"""Throwaway containers on a network of their own that leads nowhere: where a copy can be tried out.

Everything carries a label of this stack's drills. Whatever a drill that was killed left behind goes with the
next one, by that label.
"""

import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loomio_backup import docker
from loomio_backup.docker import DockerError, Helper
from loomio_backup.drill import drill_gates
from loomio_backup.errors import DrillError
from loomio_backup.progress import Ticker

LABEL = "org.loomio-pi-stack.drill"
DATABASE, REDIS, APP = "db", "redis", "app"
"""Names on the network, as in the stack."""
_PASSWORD = "/run/drill-password"  # noqa: S105 - a file
_STARTING_SECONDS = 600
"""A new cluster is written first, to an SD card, at the lowest priority."""
_NOWHERE = "192.0.2.1"
"""Nobody's address (RFC 5737). Some versions of Docker ask the Pi's own name servers even on behalf of a
network that leads nowhere, unless a container is given others (CVE-2024-29018).
"""
_CALM = ("--cpu-shares", "32", "--blkio-weight", "10", "--oom-score-adj", "900", "--pids-limit", "512")
"""Docker itself leaves out what the kernel does not have."""
_LOCKED = ("--security-opt", "no-new-privileges", "--restart", "no")
_LOGS = ("--log-driver", "json-file", "--log-opt", "max-size=1m")
_ENTRYPOINT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
"""What images need that hand over their data and then step down from root."""


@dataclass(frozen=True)
class Copy:
    """The throwaway database: programs reach it through `helper`, containers of the bench by `url`."""

    helper: Helper
    container: str
    password: str


@dataclass(frozen=True)
class Place:
    """A volume of somebody else's, for a server that outlives the bench: where it is mounted, where the data
    is (PGDATA), and the password that the server shall know.
    """

    volume: str
    destination: str
    data: str
    password: str | None


class Bench:
    """The network and what is on it. `directory` on this machine belongs to us alone."""

    def __init__(self, project: str, network: str, directory: Path) -> None:
        self.project = project
        self._network = network
        self._directory = directory

    def start(
        self,
        name: str,
        image_id: str,
        memory: int,
        *options: str,
        command: Sequence[str] = (),
        calm: bool = True,
    ) -> str:
        """Start a container that others reach as `name`; returns its id. `memory`: its limit in bytes. Not
        `calm`: while Loomio is down anyway, it may take what there is.
        """
        limits = (*_CALM, "--memory", str(memory)) if calm else ()
        return docker.docker(
            *("run", "-d", "--label", f"{LABEL}={self.project}", "--network", self._network),
            *("--network-alias", name, "--dns", _NOWHERE),
            *(*limits, *_LOCKED, *_LOGS, *options, image_id, *command),
        )

    def start_redis(self, image_id: str) -> str:
        """A Redis of its own, that keeps nothing."""
        keep_nothing = ("redis-server", "--save", "", "--appendonly", "no")
        return self.start(REDIS, image_id, drill_gates.REDIS_MEMORY, *_stepping_down(), command=keep_nothing)

    @contextmanager
    def database(self, image_id: str, user: str, place: Place | None = None) -> Iterator[Copy]:
        """An empty server, whose data is gone with the bench unless it has a `place`. Raises DrillError when
        it does not come up.
        """
        calm, password = place is None, (place.password if place else None) or secrets.token_urlsafe(24)
        if place is None:
            volume = docker.docker("volume", "create", "--label", f"{LABEL}={self.project}")
            place = Place(volume, "/pgdata", "/pgdata", password)
        container = self.start(
            DATABASE,
            image_id,
            drill_gates.DATABASE_MEMORY,
            *_stepping_down(),
            *("--mount", f"type=volume,source={place.volume},target={place.destination}"),
            *("--env", f"PGDATA={place.data}"),
            *(
                "--mount",
                f"type=bind,source={self._hand_over(password, image_id)},target={_PASSWORD},readonly",
            ),
            *("--env", f"POSTGRES_PASSWORD_FILE={_PASSWORD}", "--env", f"POSTGRES_USER={user}"),
            *("--env", "POSTGRES_DB=postgres"),
            command=("postgres", "-c", "shared_buffers=64MB", "-c", "max_connections=40"),
            calm=calm,
        )
        live = docker.Container(container, DATABASE, image_id, image_id, True, False, {})
        work = self._directory / "helper"
        work.mkdir(mode=0o700)
        with docker.helper(_helpers(self.project), live, user, password, work) as helper:
            copy = Copy(helper, container, password)
            self._await(copy)
            yield copy

    def _hand_over(self, password: str, image_id: str) -> Path:
        """A file with the password that nobody but the image's own user postgres can read."""
        path = self._directory / "password"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(password)
        # The image knows who that is: its number differs from one to the next.
        docker.docker(
            *("run", "--rm", "--label", f"{LABEL}={self.project}", "--network", "none", "--user", "0"),
            *("--mount", f"type=bind,source={path},target={_PASSWORD}"),
            *("--entrypoint", "chown", image_id, "postgres", _PASSWORD),
        )
        return path

    def _await(self, copy: Copy) -> None:
        deadline, ticker = time.monotonic() + _STARTING_SECONDS, Ticker("copy")
        while copy.helper.start("exec pg_isready -q -t 5").wait() != 0:
            require_running(copy.container, "the database of the copy")
            if time.monotonic() > deadline:
                raise DrillError(
                    f"the database of the copy did not come up within {_STARTING_SECONDS // 60} minutes, so "
                    "no drill was made. The live one is untouched. Is the Pi very busy? Try again later."
                )
            ticker.tick("its database is starting")
            time.sleep(0.5)


@contextmanager
def bench(project: str, directory: Path) -> Iterator[Bench]:
    """A bench that is gone afterwards, with all that is on it."""
    clear(project)
    try:
        yield Bench(project, _network(project), directory)
    finally:
        clear(project)


def clear(project: str) -> None:
    """Remove whatever drills of this stack left. Only while no drill runs."""
    label = ("--filter", f"label={LABEL}={project}")
    docker.remove_leftover_helpers(_helpers(project))
    for id_ in docker.docker("ps", "-aq", *label).split():
        _gone("rm", "-f", "-v", id_)
    for name in docker.docker("volume", "ls", "-q", *label).split():
        _gone("volume", "rm", "-f", name)
    for id_ in docker.docker("network", "ls", "-q", *label).split():
        _gone("network", "rm", id_)


def halt(project: str) -> None:
    """End whatever runs on the bench, at once; the drill notices, and clears up."""
    for id_ in docker.docker("ps", "-q", "--filter", f"label={LABEL}={project}").split():
        _gone("kill", id_)


def meminfo(project: str, image_id: str) -> str:
    """The text of /proc/meminfo, which our own unit may not see: only what runs beside us may."""
    return docker.docker(
        *("run", "--rm", "--label", f"{LABEL}={project}", "--network", "none", "--cap-drop", "ALL"),
        *("--entrypoint", "cat", image_id, "/proc/meminfo"),
    )


def require_running(container: str, what: str) -> None:
    """Raise DrillError when a container has ended by itself: that says nothing about a backup."""
    running, too_large = docker.docker(
        "inspect", "--format", "{{.State.Running}} {{.State.OOMKilled}}", container
    ).split()
    if too_large == "true":
        raise DrillError(
            f"{what} took more memory than it may, so the drill came to no end. The live one is untouched. "
            "Run the drill from a machine with more memory (docs/drills.md)."
        )
    if running != "true":
        raise DrillError(
            f"{what} ended by itself, so the drill came to no end. The live one is untouched. It said: "
            f"{last_words(container) or 'nothing'}"
        )


def last_words(container: str) -> str:
    """The last lines that a container printed."""
    done = subprocess.run(
        ["docker", "logs", "--tail", "5", container], capture_output=True, stdin=subprocess.DEVNULL
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    return " ".join(said.split())[-500:]


def _network(project: str) -> str:
    # Even an internal network leads to the Pi itself, and to whatever listens on all of its addresses, unless
    # its bridge gets none.
    return docker.docker(
        *("network", "create", "--internal", "--label", f"{LABEL}={project}"),
        *("--opt", "com.docker.network.bridge.inhibit_ipv4=true"),
        f"loomio-drill-{secrets.token_hex(4)}",
    )


def _helpers(project: str) -> str:
    """A name of its own for helpers: a backup that begins removes those of the project as leftovers."""
    return f"{project}.drill"


def _stepping_down() -> list[str]:
    return ["--cap-drop", "ALL", *(f"--cap-add={name}" for name in _ENTRYPOINT_CAPABILITIES)]


def _gone(*arguments: str) -> None:
    try:
        docker.docker(*arguments)
    except DockerError as error:
        # Somebody else was faster; what counts is that it goes.
        if not re.search("already in progress|no such|not found|is not running", error.said, re.IGNORECASE):
            raise
