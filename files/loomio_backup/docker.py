"""What the agent asks of Docker, through the plain `docker` command.

The stack's containers are found by the labels that Compose puts on them, so nothing here needs Compose.
Programs of PostgreSQL run in a helper container of the database container's own image, in its network: the
versions match by construction, and bulk data goes through FIFOs in a mounted directory instead of an exec
stream.
"""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from loomio_backup.errors import AgentError, SourceError

HELPER_LABEL = "org.loomio-pi-stack.helper"
WORK = "/work"
"""Where a helper container sees its work directory."""
_PASSFILE = "/run/loomio-backup.pgpass"
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"


class DockerError(AgentError):
    """Docker is missing or refused; `said` is what it printed."""

    def __init__(self, sentence: str, said: str) -> None:
        super().__init__(sentence)
        self.said = said


@dataclass(frozen=True)
class Container:
    """A container of the stack. `image_id` is the sha256 id, `image` the reference in the Compose file."""

    id: str
    service: str
    image: str
    image_id: str
    running: bool
    one_off: bool
    labels: dict[str, str]


def docker(*arguments: str) -> str:
    """Run one docker command; returns its standard output, stripped. Raises DockerError."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise DockerError("the docker command is not installed. Nothing was changed.", "") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise DockerError(f"docker {arguments[0]} failed: {said}", said)
    return done.stdout.decode(errors="replace").strip()


def containers(project: str) -> list[Container]:
    """All containers of a Compose project, stopped ones and one-off runs included."""
    ids = docker("ps", "-aq", "--no-trunc", "--filter", f"label={_PROJECT}={project}").split()
    if not ids:
        return []
    found = []
    for entry in _inspected("container", ids):
        labels = entry["Config"]["Labels"]
        found.append(
            Container(
                id=entry["Id"],
                service=labels.get(_SERVICE, ""),
                image=entry["Config"]["Image"],
                image_id=entry["Image"],
                running=entry["State"]["Running"],
                one_off=labels.get("com.docker.compose.oneoff", "False") == "True",
                labels=labels,
            )
        )
    return sorted(found, key=lambda container: (container.service, container.id))


def service_container(project: str, service: str) -> Container:
    """The running container of a service; raises SourceError when there is none.

    Only this service may be started then: the app must not, in the middle of a half-done restore.
    """
    for container in containers(project):
        if container.service == service and container.running and not container.one_off:
            return container
    raise SourceError(
        f"no running container of the service {service} in the Compose project {project}. "
        f"Nothing was changed. Start it, and only it (docker compose up -d {service}), and try again."
    )


def image_digests(image_ids: Sequence[str]) -> dict[str, list[str]]:
    """The registry digests (`name@sha256:…`) of images, by image id; none for an image built on the spot."""
    if not image_ids:
        return {}
    return {entry["Id"]: entry.get("RepoDigests") or [] for entry in _inspected("image", image_ids)}


def volume_mountpoint(volume: str) -> Path | None:
    """The directory of a volume on this machine, or None when there is no such volume."""
    try:
        entry = _inspected("volume", [volume])[0]
    except DockerError as error:
        if "no such volume" in error.said.lower():
            return None
        raise
    mountpoint = entry.get("Mountpoint")
    if not mountpoint:
        raise SourceError(f"the volume {volume} has no directory on this machine, so it cannot be read.")
    return Path(mountpoint)


@dataclass(frozen=True)
class DataMount:
    """Where a PostgreSQL container keeps its databases: `source` on this machine is mounted at `destination`,
    and `data` (PGDATA) is that or below it.
    """

    source: Path
    destination: PurePosixPath
    data: PurePosixPath


def data_mount(database: Container) -> DataMount | None:
    """The mount of a PostgreSQL container's databases; None when they are in no mount."""
    entry = _inspected("container", [database.id])[0]
    environment = dict(line.partition("=")[::2] for line in entry["Config"]["Env"] or [])
    data = PurePosixPath(environment.get("PGDATA", "/var/lib/postgresql/data"))
    mounts = [mount for mount in entry["Mounts"] if mount.get("Source")]
    for mount in sorted(mounts, key=lambda mount: len(mount["Destination"]), reverse=True):
        if data.is_relative_to(mount["Destination"]):
            return DataMount(Path(mount["Source"]), PurePosixPath(mount["Destination"]), data)
    return None


def data_directory(database: Container) -> Path:
    """Where, on this machine, a PostgreSQL container keeps its databases; Docker's own directory when that is
    no mount.
    """
    mount = data_mount(database)
    return mount.source if mount else Path(docker("info", "--format", "{{.DockerRootDir}}"))


def create_volume(project: str, volume: str) -> Path:
    """Make a volume as Compose would, so that it adopts it later; returns its directory."""
    labels = [f"{_PROJECT}={project}", f"com.docker.compose.volume={volume.removeprefix(project + '_')}"]
    docker("volume", "create", *(f"--label={label}" for label in labels), volume)
    mountpoint = volume_mountpoint(volume)
    assert mountpoint is not None
    return mountpoint


def remove_containers(found: Sequence[Container]) -> None:
    """Stop containers gracefully and remove them (never their volumes)."""
    if found:
        ids = [container.id for container in found]
        with _may_be_gone():
            docker("stop", "-t", "30", *ids)
        for id_ in ids:
            with _may_be_gone():
                docker("rm", "-f", id_)


def _inspected(kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
    document: list[dict[str, Any]] = json.loads(docker(kind, "inspect", *names))
    return document


class Helper:
    """A helper container; `directory` on this machine is /work in it."""

    def __init__(self, id_: str, directory: Path) -> None:
        self._id = id_
        self.directory = directory

    def start(self, script: str, *arguments: str, **streams: Any) -> "subprocess.Popen[bytes]":
        """Run a shell script in the container: `$1`, `$2` … are the arguments; streams as in Popen."""
        # -i: the program's standard input is ours, and its end is noticed when we are gone.
        command = ["docker", "exec", "-i", self._id, "sh", "-c", script, "sh", *arguments]
        streams.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(command, **streams)


@contextlib.contextmanager
def helper(
    project: str, database: Container, user: str, password: str | None, directory: Path
) -> Iterator[Helper]:
    """A container of the database's image in the database's network, removed at the end whatever happens.

    Programs in it reach the database as `user` at 127.0.0.1; the password travels in a file (mode 0600)
    that is removed again. `directory` must exist and belong to us alone.
    """
    passfile = directory / ".pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(
        f"*:*:*:{_escaped(user)}:{_escaped(password)}\n" if password else "", encoding="utf-8"
    )
    environment = {
        "PGHOST": "127.0.0.1",
        "PGUSER": user,
        "PGPASSFILE": _PASSFILE,
        "PGCLIENTENCODING": "UTF8",
        "PGTZ": "UTC",
        "PGAPPNAME": "loomio-backup",
        "LC_ALL": "C",
    }
    id_ = None
    try:
        id_ = docker(
            *("run", "-d", "--label", f"{HELPER_LABEL}={project}", "--network", f"container:{database.id}"),
            *("--user", f"{os.geteuid()}:{os.getegid()}", "--cap-drop", "ALL", "--log-driver", "none"),
            *("--mount", f"type=bind,source={directory},target={WORK}"),
            *("--mount", f"type=bind,source={passfile},target={_PASSFILE},readonly"),
            *(f"--env={key}={value}" for key, value in environment.items()),
            *("--entrypoint", "sleep", database.image_id, "infinity"),
        )
        yield Helper(id_, directory)
    finally:
        if id_ is not None:
            _remove(id_)
        passfile.unlink()


def remove_leftover_helpers(project: str) -> None:
    """Remove helper containers of a run that could not clean up. Only for the holder of the lock."""
    for id_ in docker("ps", "-aq", "--filter", f"label={HELPER_LABEL}={project}").split():
        _remove(id_)


def _remove(id_: str) -> None:
    with _may_be_gone():
        docker("rm", "-f", "-v", id_)


@contextlib.contextmanager
def _may_be_gone() -> Iterator[None]:
    try:
        yield
    except DockerError as error:
        # Somebody else was faster; what counts is that it goes.
        if not re.search("already in progress|no such container", error.said, re.IGNORECASE):
            raise


def _escaped(text: str) -> str:
    # The two characters that mean something in a PostgreSQL password file.
    return text.replace("\\", "\\\\").replace(":", "\\:")
