"""A pretended Pi whose stack really runs: the product's own compose file, brought up by Docker Compose out of
the lab's apt repository, with releases of the stand-in that take over well, and others that do not.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loomio_backup.config import Update

from . import images
from .agent_site import DATABASE, USER, Outcome, Site
from .docker import REPOSITORY, docker
from .drill_site import ENV, LABEL

_PASSWORD = "update-secret-words"
_OVERRIDE = """
services:
  app:
    ports: !override ["127.0.0.1::3000"]
    volumes: !override
      - "%ROOT%/storage:/loomio/storage"
      - "%ROOT%/uploads:/loomio/public/system"
    healthcheck: {interval: 1s}
  worker:
    # One release of which all runs but this.
    command:
      - bash
      - -c
      - 'if [ "$$STANDIN_RELEASE" = 3.8.1 ]; then echo no worker here; exit 7; fi; exec ./docker_start.sh'
    volumes: !override
      - "%ROOT%/storage:/loomio/storage"
  hocuspocus:
    ports: !reset []
  db:
    command: [postgres, -c, fsync=off]
    healthcheck: {interval: 1s}
  redis:
    healthcheck: {interval: 1s}
"""
HEALTHY_SECONDS = 120
RELEASES = {"3.6.0": "well", "3.7.0": "breaks", "3.8.0": "mute", "3.8.1": "well", "3.9.0": "hangs"}


@functools.cache
def release(version: str) -> str:
    """The name of the stand-in's image of that version; its tag says so, as Loomio's own tags do."""
    context = images.HERE / "images" / "loomio"
    built = images.build(context, "loomio", RELEASE=version, CHARACTER=RELEASES[version])
    name = f"loomio-lab/release:{version}"
    docker("tag", built, name)
    return name


@functools.cache
def older_postgres() -> str:
    """The name of an image of PostgreSQL 15: the stand-in's own, of the Debian before."""
    images.base_image("bookworm")
    source = images.HERE / "images" / "postgres"
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        shutil.copy(source / "docker-entrypoint.sh", context)
        text = (source / "Dockerfile").read_text().replace("trixie", "bookworm").replace("17", "15")
        (context / "Dockerfile").write_text(text)
        return images.build(context, "postgres-15")


@functools.cache
def docker_config() -> Path:
    """A directory for DOCKER_CONFIG with Docker Compose as a plugin, where the machine has none."""
    base = images.base_image("trixie")
    image = images.build(images.HERE / "apt_image", "apt-trixie", BASE=base)
    folder = Path(tempfile.mkdtemp(prefix="loomio-lab-docker-"))
    (folder / "cli-plugins").mkdir()
    container = docker("create", image)
    docker("cp", f"{container}:/docker-compose", str(folder / "cli-plugins" / "docker-compose"))
    docker("rm", container)
    return folder


class UpdateSite(Site):
    """A Site whose database is the stack's own."""

    def __init__(self, root: Path, project: str, postgres: str | None = None, **options: Any) -> None:
        super().__init__(root, project, **options)
        self.write_config(self.config.model_copy(update={"update": Update(healthy_seconds=HEALTHY_SECONDS)}))
        stack = root / "stack"
        (stack / "lab.yml").write_text(_OVERRIDE.replace("%ROOT%", str(root)))
        compose = REPOSITORY / "files" / "stack" / "docker-compose.yml"
        variables = {
            "COMPOSE_FILE": f"{compose}:{stack / 'lab.yml'}",
            "COMPOSE_PROJECT_NAME": self.project,
            "LOOMIO_ENV_FILE": str(self.env),
            "LOOMIO_IMAGE": images.stack_image("loomio/loomio:3.5"),
            "POSTGRES_IMAGE": postgres or images.stack_image("postgres:17"),
            "REDIS_IMAGE": images.stack_image("redis:8"),
            "POSTGRES_PASSWORD": _PASSWORD,
            "DATABASE_URL": f"postgresql://{USER}:{_PASSWORD}@db/{DATABASE}",
            **ENV,
        }
        self.env.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    def up(self) -> None:
        """Bring the stack up, as setup would."""
        self.compose("up", "--detach", "--wait")
        self.container = self.of("db")

    def compose(self, *arguments: str) -> str:
        """Type `docker compose …` in the stack's directory."""
        command = ["docker", "compose", *arguments]
        done = subprocess.run(
            command, cwd=self.root / "stack", env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def of(self, service: str) -> str:
        """The container of a service."""
        return self.compose("ps", "--quiet", "--all", service)

    def images(self) -> dict[str, str]:
        """The image of every service that runs."""
        lines = self.compose("ps", "--format", "{{.Service}} {{.Image}}").splitlines()
        return dict(line.split() for line in lines)

    def app_answers(self) -> str:
        """The version that the app says it is, asked from outside."""
        address = self.compose("port", "app", "3000")
        done = subprocess.run(
            ["curl", "--silent", "--fail", f"http://{address}/api/v1/boot/version"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return str(json.loads(done.stdout)["version"])

    def run(self, *arguments: str) -> Outcome:
        done = subprocess.run(
            self.agent(*arguments), capture_output=True, text=True, env=environment(), cwd=self.root
        )
        self.container = self.of("db")
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb in a process group of its own, as a unit is."""
        return subprocess.Popen(
            self.agent(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment(), start_new_session=True,
        )  # fmt: skip

    def journal(self) -> dict[str, Any]:
        """How far the last update came."""
        path = self.root / "state" / "update-journal.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def result(self) -> dict[str, Any]:
        """The report of the last update."""
        found: dict[str, Any] = json.loads((self.root / "state" / "update-result.json").read_text())
        return found

    def left_beside(self) -> list[str]:
        """Whatever an update keeps for its way back, and what a rehearsal needs."""
        names = self.sql(
            "SELECT datname FROM pg_database WHERE datname LIKE 'loomio\\_%'", "postgres"
        ).split()
        found = [name for name in names if name != DATABASE]
        for root in (self.storage, self.uploads):
            found += [path.name for path in root.glob(".loomio-*")]
        label = f"label={LABEL}={self.project}"
        found += docker("ps", "-aq", "--filter", label).split()
        found += docker("volume", "ls", "-q", "--filter", label).split()
        return found + docker("network", "ls", "-q", "--filter", label).split()

    def stop(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
        super().stop()


def environment() -> dict[str, str]:
    """What the agent runs in: Compose can be had."""
    given = {key: value for key, value in os.environ.items() if key != "CREDENTIALS_DIRECTORY"}
    return {**given, "DOCKER_CONFIG": str(docker_config())}


@contextmanager
def update_site(root: Path, project: str, postgres: str | None = None) -> Iterator[UpdateSite]:
    """A stack with people's data, backed up once; removed afterwards."""
    made = UpdateSite(root / "pi", project, postgres, local=root / "disk")
    try:
        made.up()
        made.sql(
            "INSERT INTO users (id, email, unsubscribe_token, created_at, updated_at) "
            "SELECT i, 'user' || i || '@example.org', i::text, now(), now() FROM generate_series(1, 50) AS i"
        )
        made.sql(f"ALTER DATABASE {DATABASE} SET statement_timeout = '7min'")
        made.fill_files()
        made.attach("zzzzother", b"another attachment")
        made.must("run")
        yield made
    finally:
        made.stop()
