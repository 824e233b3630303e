"""What the agent meets on a Pi, without a Pi: a real database container with Compose's labels, directories as
app-data, keys, and the stores.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loomio_backup.config import AppDataSource, Config, DriveStore, LocalStore, Retention, Stores, dump
from loomio_backup.encryption import crypto

from .docker import LabError, docker, wait_until
from .images import stack_image

PASSWORD = "pa/ss:word\\with'quotes"
DATABASE = "loomio_production"
USER = "loomio"


_SAMPLE = """
CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE ROLE reader LOGIN PASSWORD 'r' CONNECTION LIMIT 3; GRANT pg_read_all_data TO reader;
CREATE TABLE users (id serial PRIMARY KEY, email citext UNIQUE, key uuid DEFAULT public.gen_random_uuid());
INSERT INTO users (email) SELECT 'user' || i || '@example.org' FROM generate_series(1, 1000) AS i;
SELECT setval('users_id_seq', 100000);
CREATE TABLE "Odd ""name"" 🎉" (a jsonb, b hstore, c bytea, d tsvector, e text);
INSERT INTO "Odd ""name"" 🎉" VALUES (NULL, NULL, NULL, NULL, E'\\n\\t'), ('{"x": [1, null]}', 'k=>v',
'\\x00ff', to_tsvector('one two'), '');
CREATE SCHEMA other; CREATE TABLE other.things (id int); INSERT INTO other.things VALUES (1), (2);
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
INSERT INTO parted VALUES (1), (2), (3);
CREATE VIEW emails AS SELECT email FROM users; GRANT SELECT ON emails TO reader;
CREATE TABLE empty (id int);
CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('20250101000000'), ('20261101000000');
CREATE TABLE active_storage_blobs (id serial PRIMARY KEY, key text, service_name text);
INSERT INTO active_storage_blobs (key, service_name)
VALUES ('abcdefgh', 'local'), ('zzmissing', 'local'), ('elsewhere', 's3');
ALTER DATABASE loomio_production SET statement_timeout = '5min';
ALTER DATABASE loomio_production SET search_path = public, other;
ALTER DATABASE loomio_production CONNECTION LIMIT 40;
COMMENT ON DATABASE loomio_production IS 'What we ''decided'' \\o/ ✓';
REVOKE CONNECT ON DATABASE loomio_production FROM PUBLIC;
GRANT CONNECT ON DATABASE loomio_production TO reader WITH GRANT OPTION;
ALTER ROLE reader IN DATABASE loomio_production SET work_mem = '8MB';
ALTER ROLE reader IN DATABASE loomio_production SET search_path = other, public;
"""


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
        # One of its own for each process: several may run the same tests on one machine.
        own = f"-{os.getpid()}"
        self.project = project if project.endswith(own) else project + own
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
            project=self.project,
            stack_directory=root / "stack",
            app_data=[
                AppDataSource(name="storage", directory=self.storage),
                AppDataSource(name="uploads", directory=self.uploads),
            ],
            stores=_patient(Stores(local=LocalStore(path=local) if local else None, drive=drive)),
            recipients=[crypto.recipient_of(self.identity)],
            signing_public_key=crypto.signing_public_key(self.signing_key),
            state_directory=root / "state",
            credentials_directory=root / "credentials",
            application_keys=["SECRET_COOKIE_TOKEN"],
            # A laboratory's clock need not be synchronised.
            clock_wait_seconds=0,
        )
        self.write_config(self.config)
        self.container = ""

    def write_config(self, config: Config) -> None:
        """Change the agent's configuration."""
        self.config = config
        (self.root / "config.yml").write_text(dump(config))

    def start_database(
        self, data: str = "--volume=/var/lib/postgresql/data", image: str | None = None
    ) -> None:
        """A fresh, empty database server; `data` is what docker mounts for it."""
        self.container = docker(
            *("run", "-d", "--name", f"{self.project}-db", data),
            *("--label", f"com.docker.compose.project={self.project}"),
            *("--label", "com.docker.compose.service=db"),
            *("-e", f"POSTGRES_USER={USER}", "-e", f"POSTGRES_PASSWORD={PASSWORD}"),
            *("-e", f"POSTGRES_DB={DATABASE}", image or stack_image("postgres:17"), "-c", "fsync=off"),
        )
        self._await_database()

    def restart_database(self) -> None:
        """Start the database again that was stopped."""
        docker("start", self.container)
        self._await_database()

    def _await_database(self) -> None:
        # Over TCP: while the image still prepares the cluster, the server answers on its socket only.
        ready = ["docker", "exec", self.container, "pg_isready", "-q", "-h", "127.0.0.1", "-U", USER]
        try:
            wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, "database ready")
        except LabError as error:
            raise LabError(f"{error}: {docker_said(self.container)}") from error

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

    def lose_database(self) -> None:
        """As on a new Pi: there is a database, and nothing in it."""
        self.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", "postgres")
        self.sql(f"CREATE DATABASE {DATABASE}", "postgres")

    def fill(self) -> None:
        """A little of everything: odd types and names, roles, properties, files of every kind."""
        self.sql(_SAMPLE)
        self.fill_files()

    def fill_files(self) -> None:
        """The files of it."""
        self.attach("abcdefgh", b"attachment")
        deep = self.uploads / "deep" / "er 🎉"
        deep.mkdir(parents=True)
        deep.chmod(0o711)
        (deep / "with space\nand line").write_bytes(os.urandom(300_000))
        (deep / os.fsdecode(b"not utf-8 \xff")).write_bytes(b"")
        (self.uploads / "link").symlink_to("deep/nowhere")
        (self.uploads / "empty").mkdir(mode=0o2770)
        for number, path in enumerate(sorted(self.uploads.rglob("*"))):
            if os.geteuid() == 0:
                os.chown(path, 1000 + number, 100, follow_symlinks=False)
            os.utime(path, ns=(1, 1_700_000_000_123_456_000 + number), follow_symlinks=False)

    def attach(self, key: str, content: bytes) -> None:
        """A file as ActiveStorage would keep it; its row is in the sample."""
        place = self.storage / key[:2] / key[2:4]
        place.mkdir(parents=True, exist_ok=True)
        (place / key).write_bytes(content)

    def big_table(self, rows: int) -> None:
        """About 100 bytes a row, in no time."""
        self.sql(
            "CREATE TABLE big AS SELECT i AS id, md5(i::text) || md5((i + 1)::text) AS text "
            f"FROM generate_series(1, {rows}) AS i"
        )

    def database_text(self) -> list[str]:
        """The whole database as SQL, without what differs from one pg_dump to the next."""
        text = docker("exec", self.container, "pg_dump", "-U", USER, DATABASE)
        return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]

    def files_text(self) -> list[tuple[object, ...]]:
        """Every file, directory and link with all that has to come back."""
        found: list[tuple[object, ...]] = []
        for root in (self.storage, self.uploads):
            for path in sorted([root, *root.rglob("*")]):
                name = path.relative_to(self.root)
                if any(part.startswith(".loomio-") for part in name.parts):
                    continue
                status = path.lstat()
                attributes = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
                content: object = None
                if stat.S_ISLNK(status.st_mode):
                    content = path.readlink()
                elif stat.S_ISREG(status.st_mode):
                    content = path.read_bytes()
                # A root's own time changes with whatever is kept beside.
                found.append((str(name), *attributes[: 3 if path == root else 4], content))
        return found

    def helpers(self) -> list[str]:
        """Helper containers that are there right now."""
        return docker("ps", "-aq", "--filter", f"label=org.loomio-pi-stack.helper={self.project}").split()

    def start_agent(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb and let it run."""
        return subprocess.Popen(
            self.agent(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
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


def _patient(stores: Stores) -> Stores:
    """These stores; where a test says nothing else, they keep what it makes within minutes."""
    keep = Retention(days=1)
    local, drive = stores.local, stores.drive
    if local is not None and local.retention == Retention():
        local = local.model_copy(update={"retention": keep})
    if drive is not None and drive.retention == Retention():
        drive = drive.model_copy(update={"retention": keep})
    return Stores(local=local, drive=drive)


def docker_said(container: str) -> str:
    """State and last words of a container."""
    done = subprocess.run(["docker", "logs", "--tail", "20", container], capture_output=True, text=True)
    return docker("inspect", "-f", "{{json .State}}", container) + done.stdout + done.stderr


def clean_environment() -> dict[str, str]:
    """Our environment without what systemd would give a unit."""
    return {key: value for key, value in os.environ.items() if key not in ("CREDENTIALS_DIRECTORY",)}


@contextmanager
def site(root: Path, project: str, **options: Any) -> Iterator[Site]:
    """A site with a running database (of `image`, when given), removed afterwards."""
    image = options.pop("image", None)
    made = Site(root, project, **options)
    try:
        made.start_database(image=image)
        yield made
    finally:
        made.stop()
