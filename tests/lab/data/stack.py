"""The stand-ins on a plain Docker network, without a Pi: enough to load a data set, compare it, and run the
application.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..docker import docker, exists, wait_until
from ..images import base_image, build
from .archive import write_tar
from .compare import Comparison, compare
from .entries import WALK_SCRIPT, parse_walk
from .files import FileFact
from .script import write_sql
from .sections import PSQL_OPTIONS
from .spec import Spec

IMAGES = Path(__file__).resolve().parent.parent / "images"
PASSWORD = "pa/ss word"  # a URL must escape it
DATABASE_URL = "postgresql://loomio:pa%2Fss%20word@db/loomio_production"
MOUNTS = {
    "storage": "/loomio/storage",
    "uploads": "/loomio/public/system",
    "files": "/loomio/public/files",
    "plugins": "/loomio/plugins/docker",
}
APP_ENVIRONMENT = {
    "DATABASE_URL": DATABASE_URL,
    "SECRET_COOKIE_TOKEN": "cookie",
    "DEVISE_SECRET": "devise",
    "CANONICAL_HOST": "loomio.example.org",
}


def stand_in(name: str) -> str:
    """The tag of a stand-in image, built when it is not there yet."""
    base_image("trixie")
    return build(IMAGES / name, name)


class Stack:
    """Containers, volumes and a network of one prefix; all are removed at the end of the `with` block."""

    def __init__(self) -> None:
        self.prefix = f"data-{uuid.uuid4().hex[:8]}"
        self._containers: list[str] = []

    def __enter__(self) -> Stack:
        docker("network", "create", self.prefix)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._containers:
            docker("rm", "-fv", name)
        for name in MOUNTS:
            if exists("volume", f"{self.prefix}_{name}"):
                docker("volume", "rm", f"{self.prefix}_{name}")
        docker("network", "rm", self.prefix)

    def run(self, service: str, image: str, *command: str, **environment: str) -> str:
        """Starts a container that the others know by its service's name; returns its name."""
        name = f"{self.prefix}-{service}"
        settings = [f"--env={key}={value}" for key, value in environment.items()]
        self._containers.append(name)
        docker(
            "run", "-d", "--name", name, "--network", self.prefix, "--network-alias", service, *settings,
            *self._mounts(MOUNTS if service == "app" else {}), stand_in(image), *command,
        )  # fmt: skip
        return name

    def start_database(self) -> str:
        name = self.run(
            "db",
            "postgres",
            POSTGRES_USER="loomio",
            POSTGRES_PASSWORD=PASSWORD,
            POSTGRES_DB="loomio_production",
            PGDATA="/pgdata",
        )
        self.wait_for_database()
        return name

    def wait_for_database(self) -> None:
        """Asks over TCP: while it is being initialised, the server answers on its socket only."""
        ready = ("pg_isready", "-q", "-h", "127.0.0.1", "-U", "loomio", "-d", "loomio_production")
        wait_until(lambda: self.succeeds("db", *ready), "the database")

    def start_app(self, **environment: str) -> str:
        name = self.run("app", "loomio", **(APP_ENVIRONMENT | environment))
        version = ("curl", "-fsS", "localhost:3000/api/v1/boot/version")
        wait_until(lambda: self.succeeds("app", *version), "the app")
        return name

    def succeeds(self, service: str, *command: str) -> bool:
        full = ["docker", "exec", f"{self.prefix}-{service}", *command]
        return subprocess.run(full, capture_output=True).returncode == 0

    def exec(self, service: str, *command: str) -> str:
        return docker("exec", f"{self.prefix}-{service}", *command)

    def request(self, path: str, method: str = "GET") -> str:
        """What the application answers."""
        return self.exec("app", "curl", "-sS", "-X", method, f"localhost:3000{path}")

    def ledger(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.request("/lab/ledger"))
        return state

    def sql(self, statement: str, database: str = "loomio_production") -> str:
        return b"".join(self.run_sql(statement, database)).decode().strip()

    def run_sql(self, statement: str, database: str = "loomio_production") -> Iterator[bytes]:
        command = self._psql(database, "-c", statement)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            while data := process.stdout.read(65_536):
                yield data
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)

    def load(self, spec: Spec) -> None:
        """Fills the schema and the volumes with a data set."""
        with _feeding(self._psql("loomio_production", "-f", "-")) as sql:
            write_sql(spec, sql)
        with _feeding(self._helper("tar", "-xp", "--numeric-owner", "-C", "/data")) as archive:
            write_tar(spec, archive)

    def list_files(self) -> list[FileFact]:
        roots = [f"{name}=/data/{name}" for name in MOUNTS]
        command = self._helper("python3", "-", *roots)
        done = subprocess.run(command, input=WALK_SCRIPT.encode(), capture_output=True, check=True)
        return list(parse_walk(done.stdout.splitlines()))

    def in_files(self, script: str) -> None:
        """Runs a shell script where the volumes are mounted as storage, uploads, files, plugins."""
        subprocess.run(self._helper("sh", "-ec", f"cd /data; {script}"), check=True)

    def compare(self, spec: Spec) -> Comparison:
        return compare(spec, self.run_sql, self.list_files)

    def _psql(self, database: str, *arguments: str) -> list[str]:
        client = ["docker", "exec", "-i", f"{self.prefix}-db", "psql", *PSQL_OPTIONS]
        return [*client, "-U", "loomio", "-d", database, *arguments]

    def _helper(self, *command: str) -> list[str]:
        mounts = self._mounts({name: f"/data/{name}" for name in MOUNTS})
        return ["docker", "run", "--rm", "-i", *mounts, stand_in("loomio"), *command]

    def _mounts(self, places: dict[str, str]) -> list[str]:
        return [f"--volume={self.prefix}_{name}:{place}" for name, place in places.items()]


class _feeding:  # noqa: N801 (reads as a verb where it is used)
    """A program's standard input; leaving the block waits for its success."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def __enter__(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait() != 0:
            raise subprocess.CalledProcessError(self._process.returncode, self._process.args)
