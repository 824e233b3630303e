"""The stand-ins for PostgreSQL and Redis keep the official images' contracts."""

import subprocess
from collections.abc import Iterator

import pytest

from .data.stack import PASSWORD, Stack, stand_in
from .docker import docker, wait_until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as stack:
        stack.start_database()
        yield stack


def once(image: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "run", "--rm", *arguments[:-1], stand_in(image), *arguments[-1].split()],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_user_database_and_place_are_as_asked(stack: Stack) -> None:
    assert stack.sql("SELECT current_user, current_database(), pg_encoding_to_char(encoding), datcollate"
                     " FROM pg_database WHERE datname = current_database()") == (
        "loomio|loomio_production|UTF8|en_US.utf8"
    )  # fmt: skip
    assert stack.exec("db", "cat", "/pgdata/PG_VERSION") == "17"
    assert stack.exec("db", "stat", "-c", "%u %a", "/pgdata") == "999 700"
    assert stack.sql("SHOW data_directory") == "/pgdata"


def test_others_need_the_password(stack: Stack) -> None:
    ask = "psql -X -At -h db -U loomio -d loomio_production -c select(1)"
    network = f"--network={stack.prefix}"
    assert once("postgres", network, f"--env=PGPASSWORD={PASSWORD}", ask).stdout.strip() == "1"
    refused = once("postgres", network, "--env=PGPASSWORD=wrong", ask)
    assert refused.returncode != 0 and "password authentication failed" in refused.stderr


def test_it_stops_fast_and_keeps_its_data(stack: Stack) -> None:
    stack.sql("CREATE TABLE IF NOT EXISTS kept (x int)")
    docker("stop", f"{stack.prefix}-db")
    assert docker("inspect", "-f", "{{.State.ExitCode}}", f"{stack.prefix}-db") == "0"
    docker("start", f"{stack.prefix}-db")
    stack.wait_for_database()
    assert stack.sql("SELECT count(*) FROM kept") == "0"
    assert "Skipping initialization" in docker("logs", f"{stack.prefix}-db")


def test_password_from_a_file_and_default_names(stack: Stack) -> None:
    script = (
        "umask 077; echo secret >/tmp/password; chmod 644 /tmp/password; exec docker-entrypoint.sh postgres"
    )
    name = f"{stack.prefix}-file"
    stack._containers.append(name)
    docker("run", "-d", "--name", name, "--env=POSTGRES_PASSWORD_FILE=/tmp/password", "--entrypoint=sh",
           stand_in("postgres"), "-c", script)  # fmt: skip
    ready = ["docker", "exec", name, "psql", "-h", "127.0.0.1", "-U", "postgres", "-Atc", "SELECT 1"]
    wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, "the server")


def test_it_refuses_to_start_without_a_password() -> None:
    done = once("postgres", "postgres")
    assert done.returncode == 1
    assert "POSTGRES_PASSWORD" in done.stderr


@pytest.mark.parametrize(
    ("command", "output"),
    [("pg_dump --version", "17."), ("pg_restore --version", "17."), ("id -u", "0"), ("sh -c pwd", "/")],
)
def test_other_commands_are_run_as_given(command: str, output: str) -> None:
    done = once("postgres", command)
    assert done.returncode == 0
    assert output in done.stdout


def test_options_alone_are_the_servers(stack: Stack) -> None:
    name = f"{stack.prefix}-options"
    stack._containers.append(name)
    docker(
        "run", "-d", "--name", name, "--env=POSTGRES_PASSWORD=x", stand_in("postgres"), "-c", "work_mem=7MB"
    )
    ask = ["docker", "exec", name, "psql", "-h", "127.0.0.1", "-U", "postgres", "-Atc", "SHOW work_mem"]
    wait_until(
        lambda: subprocess.run(ask, capture_output=True, text=True).stdout.strip() == "7MB", "the setting"
    )


def test_redis_answers_others_and_takes_a_command(stack: Stack) -> None:
    name = stack.run(
        "redis", "redis", "redis-server", "--save", "", "--appendonly", "no", "--maxmemory", "64mb"
    )
    wait_until(lambda: stack.succeeds("redis", "redis-cli", "ping"), "redis")
    network = f"--network={stack.prefix}"
    assert once("redis", network, "redis-cli -h redis set key value").stdout.strip() == "OK"
    assert stack.exec("redis", "redis-cli", "config", "get", "save").split("\n") == ["save"]
    assert "67108864" in stack.exec("redis", "redis-cli", "config", "get", "maxmemory")
    assert "redis" in docker("exec", name, "sh", "-c", "stat -c %U /proc/1")
    docker("stop", name)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", name) == "0"


def test_redis_runs_without_a_command(stack: Stack) -> None:
    stack.run("cache", "redis")
    wait_until(lambda: stack.succeeds("cache", "redis-cli", "ping"), "redis")
