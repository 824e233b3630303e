"""The application's stand-in behaves like the real image where a backup or restore can notice it."""

import subprocess
import time
from collections.abc import Iterator
from functools import partial

import pytest

from .data import Spec
from .data.compare import compare
from .data.stack import APP_ENVIRONMENT, Stack, stand_in
from .docker import docker, wait_until

pytestmark = pytest.mark.lab

SPEC = Spec(seed=5, db_mb=1, files_mb=1)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as stack:
        stack.start_database()
        stack.start_app()
        yield stack


def once(stack: Stack, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A container of the image that runs to its end."""
    settings = [f"--env={key}={value}" for key, value in environment.items()]
    full = ["docker", "run", "--rm", "--network", stack.prefix, *settings, stand_in("loomio"), *command]
    return subprocess.run(full, capture_output=True, text=True, timeout=60)


def test_it_creates_its_schema_when_there_is_none(stack: Stack) -> None:
    assert "created the schema" in docker("logs", f"{stack.prefix}-app")
    assert stack.sql("SELECT count(*) FROM schema_migrations") == "4"
    assert stack.sql("SELECT value FROM ar_internal_metadata WHERE key = 'environment'") == "production"
    docker("restart", f"{stack.prefix}-app")
    wait_until(lambda: stack.succeeds("app", "curl", "-fsS", "localhost:3000"), "the app again")
    assert "schema is at version" in docker("logs", f"{stack.prefix}-app")


def test_it_creates_its_database_when_there_is_none(stack: Stack) -> None:
    url = APP_ENVIRONMENT["DATABASE_URL"].replace("loomio_production", "fresh_one")
    done = once(stack, "rake", "db:prepare", **(APP_ENVIRONMENT | {"DATABASE_URL": url}))
    assert done.returncode == 0, done.stderr
    assert stack.sql("SELECT count(*) FROM users", "fresh_one") == "0"


def test_settings_can_come_in_parts(stack: Stack) -> None:
    parts = {key: value for key, value in APP_ENVIRONMENT.items() if key != "DATABASE_URL"}
    parts |= {
        "POSTGRES_USER": "loomio",
        "POSTGRES_PASSWORD": "pa/ss word",
        "POSTGRES_DB": "loomio_production",
    }
    done = once(stack, "bundle", "exec", "rake", "db:migrate", **parts)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", APP_ENVIRONMENT)
@pytest.mark.parametrize("task", ["", "worker"])
def test_it_refuses_to_start_without_its_settings(stack: Stack, name: str, task: str) -> None:
    environment = APP_ENVIRONMENT | {name: "", "TASK": task}
    done = once(stack, **environment)
    assert done.returncode == 1
    assert name in done.stderr and "Traceback" not in done.stderr


def test_it_does_not_start_without_its_database(stack: Stack) -> None:
    environment = APP_ENVIRONMENT | {"DATABASE_URL": "postgresql://loomio:x@nowhere/loomio_production"}
    done = once(stack, **environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_pages_come_from_the_database(stack: Stack) -> None:
    assert '"version": "3.5' in stack.request("/api/v1/boot/version")
    assert '<dd id="users">0</dd>' in stack.request("/")
    stack.load(SPEC)
    assert f'<dd id="users">{SPEC.users}</dd>' in stack.request("/")
    key = stack.sql("SELECT key FROM active_storage_blobs WHERE content_type = 'image/png' LIMIT 1")
    size = stack.sql(f"SELECT byte_size FROM active_storage_blobs WHERE key = '{key}'")
    assert f"Content-Length: {size}" in stack.exec(
        "app", "curl", "-sI", f"localhost:3000/rails/active_storage/blobs/{key}"
    )


def test_presence_of_force_ssl_redirects(stack: Stack) -> None:
    name = stack.run("secure", "loomio", **(APP_ENVIRONMENT | {"FORCE_SSL": "0"}))
    address = "localhost:3000/api/v1/boot/version"
    wait_until(lambda: stack.succeeds("secure", "curl", "-fsS", address), "the secure app")
    assert "301" in docker("exec", name, "curl", "-sI", address)
    assert "200 OK" in docker("exec", name, "curl", "-sI", "-H", "X-Forwarded-Proto: https", address)


def test_worker_and_hocuspocus(stack: Stack) -> None:
    worker = stack.run("worker", "loomio", **APP_ENVIRONMENT, TASK="worker")
    stack.run("hocuspocus", "loomio", TASK="hocuspocus")
    wait_until(lambda: "connected" in docker("logs", worker), "the worker's connection")
    wait_until(lambda: stack.succeeds("app", "curl", "-fsS", "hocuspocus"), "hocuspocus")
    for name in (worker, f"{stack.prefix}-hocuspocus"):
        started = time.monotonic()
        docker("stop", name)
        assert time.monotonic() - started < 5
        assert docker("inspect", "-f", "{{.State.ExitCode}}", name) == "0"


def test_ledger_is_fast_and_any_dump_of_it_is_whole(stack: Stack) -> None:
    """The files are listed after the dump, as a backup does it once more at its end."""
    stack.request("/lab/ledger/start?rate=25&attachments_every=5", "POST")
    started, first = time.monotonic(), stack.ledger()["number"]
    wait_until(lambda: stack.ledger()["number"] >= first + 60, "60 entries")
    for attempt in range(2):
        before = stack.ledger()["number"]
        dump = f"pg_dump -U loomio -Fc loomio_production -f /tmp/{attempt}.dump"
        stack.exec("db", "sh", "-ec", f"createdb -U loomio copy{attempt}; {dump}")
        files = stack.list_files()
        stack.exec("db", "pg_restore", "-U", "loomio", "-d", f"copy{attempt}", f"/tmp/{attempt}.dump")
        comparison = compare(SPEC, partial(stack.run_sql, database=f"copy{attempt}"), partial(list, files))
        assert list(comparison.differences()) == []
        assert comparison.ledger.gap_free and comparison.ledger.agrees
        assert before <= comparison.ledger.rows <= stack.ledger()["number"]
        assert comparison.ledger.attachments == comparison.ledger.rows // 5
    assert (stack.ledger()["number"] - first) / (time.monotonic() - started) >= 20
    state = stack.ledger()
    assert state["running"] and state["failures"] == 0


def test_ledger_survives_a_restart_of_the_database(stack: Stack) -> None:
    if not stack.ledger()["running"]:
        stack.request("/lab/ledger/start", "POST")
    docker("restart", f"{stack.prefix}-db")
    stack.wait_for_database()
    number = stack.ledger()["number"]
    wait_until(lambda: stack.ledger()["number"] > number + 10, "ten more entries")
    assert stack.ledger()["failures"] > 0
    stack.request("/lab/ledger/stop", "POST")
    assert not stack.ledger()["running"]
    comparison = stack.compare(SPEC)
    assert list(comparison.differences()) == []
    assert comparison.ledger.rows == stack.ledger()["number"]


def test_damage_to_the_ledger_is_named(stack: Stack) -> None:
    if stack.ledger()["running"]:
        stack.request("/lab/ledger/stop", "POST")
    stack.sql("DELETE FROM ledger_entries WHERE number = 3; DELETE FROM comments WHERE id = 1500000007")
    comparison = stack.compare(SPEC)
    assert not comparison.equal and comparison.rows_differing == 0
    assert not comparison.ledger.gap_free and not comparison.ledger.agrees
    assert "entry 3 is missing, 4 is there" in comparison.ledger.details
