"""The first start of the database server is interrupted by a power cut: its remains are put aside, and never
anything that has let somebody in.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploys.operations.database import made_script, prepare_script

from .docker import docker, exists, wait_until
from .images import stack_image

pytestmark = pytest.mark.lab


@dataclass
class Server:
    """A database server with the labels that Compose gives it."""

    project: str
    marker: Path

    @property
    def volume(self) -> str:
        return f"{self.project}_db-data"

    @property
    def files(self) -> Path:
        return Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", self.volume))

    def start(self) -> None:
        label = "com.docker.compose"
        docker(
            *("run", "-d", "--name", f"{self.project}-db", "--volume", f"{self.volume}:/pgdata"),
            *(f"--label={label}.project={self.project}", f"--label={label}.service=db"),
            *(f"--label={label}.oneoff=False", "-e", "POSTGRES_USER=loomio", "-e", "POSTGRES_PASSWORD=it's"),
            *("-e", "POSTGRES_DB=loomio_production", "-e", "PGDATA=/pgdata", stack_image("postgres:17")),
        )

    def run(self, script: str) -> str:
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def prepare(self, seconds: int = 30) -> str:
        return self.run(
            prepare_script(self.project, "db", f"{self.project}_db-data", str(self.marker), seconds)
        )

    def made(self) -> None:
        self.run(made_script(self.project, "db", f"{self.project}_db-data", str(self.marker), 60))

    def half_made(self) -> list[Path]:
        return list(self.files.parent.glob("half-made-*"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(f"begun-{os.getpid()}", tmp_path / "record" / "begun")
    try:
        yield made
    finally:
        if exists("container", f"{made.project}-db"):
            docker("rm", "-f", f"{made.project}-db")
        if exists("volume", made.volume):
            docker("volume", "rm", made.volume)


def test_what_an_interrupted_first_start_left_is_put_aside(server: Server) -> None:
    server.prepare()
    assert server.marker.exists()
    server.start()
    wait_until(lambda: (server.files / "PG_VERSION").exists(), "the first file", every=0.01)
    docker("kill", f"{server.project}-db")
    assert "was interrupted. It is made anew" in server.prepare(seconds=2)
    [aside] = server.half_made()
    assert (aside / "PG_VERSION").exists()
    assert list(server.files.iterdir()) == []
    assert not exists("container", f"{server.project}-db")
    server.start()
    server.made()
    assert not server.marker.exists()


def test_a_first_start_that_still_goes_on_is_waited_for(server: Server) -> None:
    server.prepare()
    server.start()
    assert server.prepare() == ""
    assert server.half_made() == []
    server.made()
    # Stopped or not: without the marker nothing is touched.
    docker("stop", f"{server.project}-db")
    assert server.prepare() == ""
    assert server.half_made() == []
    assert (server.files / "PG_VERSION").exists()
