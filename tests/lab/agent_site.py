"""What the agent meets on a Pi, without a Pi: a real database container with Compose's labels, directories as
app-data, keys, and the stores.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loomio_backup import crypto
from loomio_backup.config import AppDataSource, Config, DriveStore, LocalStore, Stores, dump

from .docker import docker, wait_until
from .images import stack_image

PASSWORD = "pass:word\\with'quotes"
DATABASE = "loomio_production"
USER = "loomio"


@dataclass
class Outcome:
    """How a run of the agent ended."""

    code: int
    out: str
    err: str


class Site:
    """One pretended Pi below `root`. Keys can be shared between two of them, as after a disaster."""

    def __init__(
        self,
        root: Path,
        project: str,
        *,
        local: Path | None = None,
        drive: DriveStore | None = None,
        drive_secret: str | None = None,
        keys: Site | None = None,
    ) -> None:
        self.root = root
        self.project = project
        self.identity: str = keys.identity if keys else crypto.generate_identity()
        self.signing_key: str = keys.signing_key if keys else crypto.generate_signing_key()[0]
        self.uploads = root / "uploads"
        self.storage = root / "storage"
        for directory in (self.uploads, self.storage, root / "credentials", root / "stack"):
            directory.mkdir(parents=True)
        self.env = root / "stack" / ".env"
        self.env.write_text(f"POSTGRES_PASSWORD='{PASSWORD}'\nSECRET_COOKIE_TOKEN=cookie\n")
        (root / "credentials" / "identity").write_text(self.identity + "\n")
        (root / "credentials" / "signing_key").write_text(self.signing_key + "\n")
        if drive_secret is not None:
            (root / "credentials" / "drive.json").write_text(drive_secret)
        self.config = Config(
            host=root.name,
            project=project,
            stack_directory=root / "stack",
            app_data=[
                AppDataSource(name="storage", directory=self.storage),
                AppDataSource(name="uploads", directory=self.uploads),
            ],
            stores=Stores(local=LocalStore(path=local) if local else None, drive=drive),
            recipients=[crypto.recipient_of(self.identity)],
            signing_public_key=crypto.signing_public_key(self.signing_key),
            state_directory=root / "state",
            credentials_directory=root / "credentials",
            application_keys=["SECRET_COOKIE_TOKEN"],
        )
        self.write_config(self.config)
        self.container = ""

    def write_config(self, config: Config) -> None:
        """Change the agent's configuration."""
        self.config = config
        (self.root / "config.yml").write_text(dump(config))

    def start_database(self) -> None:
        """A fresh, empty database server."""
        self.container = docker(
            *("run", "-d", "--name", f"{self.project}-db", "--tmpfs", "/var/lib/postgresql/data"),
            *("--label", f"com.docker.compose.project={self.project}"),
            *("--label", "com.docker.compose.service=db"),
            *("-e", f"POSTGRES_USER={USER}", "-e", f"POSTGRES_PASSWORD={PASSWORD}"),
            *("-e", f"POSTGRES_DB={DATABASE}", stack_image("postgres:17"), "-c", "fsync=off"),
        )
        # Over TCP: while the image still prepares the cluster, the server answers on its socket only.
        ready = ["docker", "exec", self.container, "pg_isready", "-q", "-h", "127.0.0.1", "-U", USER]
        wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, "database ready")

    def stop(self) -> None:
        """Remove the database and whatever helper is left."""
        for label in ("com.docker.compose.project", "org.loomio-pi-stack.helper"):
            ids = docker("ps", "-aq", "--filter", f"label={label}={self.project}").split()
            if ids:
                docker("rm", "-f", "-v", *ids)

    def sql(self, script: str, database: str = DATABASE) -> str:
        """Run SQL; returns psql's unaligned output."""
        return docker(
            *("exec", "-i", self.container, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
            *("-U", USER, "-d", database),
            input=script.encode(),
        )

    def agent(self, *arguments: str) -> list[str]:
        """The command line of the agent."""
        return [sys.executable, "-m", "loomio_backup", "--config", str(self.root / "config.yml"), *arguments]

    def run(self, *arguments: str) -> Outcome:
        """Run a verb as its own process, as a Pi would."""
        done = subprocess.run(self.agent(*arguments), capture_output=True, text=True, env=clean_environment())
        return Outcome(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str) -> str:
        """Run a verb that must succeed; returns its output."""
        outcome = self.run(*arguments)
        assert outcome.code == 0, outcome
        assert outcome.err == "", outcome
        return outcome.out


def clean_environment() -> dict[str, str]:
    """Our environment without what systemd would give a unit."""
    return {key: value for key, value in os.environ.items() if key not in ("CREDENTIALS_DIRECTORY",)}


@contextmanager
def site(root: Path, project: str, **options: object) -> Iterator[Site]:
    """A site with a running database, removed afterwards."""
    made = Site(root, project, **options)  # type: ignore[arg-type]
    try:
        made.start_database()
        yield made
    finally:
        made.stop()
