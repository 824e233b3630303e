"""A database that is on its way up is waited for; one that is not is named soon."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.database import postgres
from loomio_backup.database.database_helper import opened
from loomio_backup.errors import SourceError

from .agent_site import Site
from .docker import docker, wait_until

pytestmark = pytest.mark.lab
DATA = "/var/lib/postgresql/data"


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "pi", "starting", local=tmp_path / "store")
    try:
        made.start_database(f"--volume={DATA}")
        made.fill()
        yield made
    finally:
        made.stop()


def readiness(pi: Site) -> int:
    command = ["docker", "exec", pi.container, "pg_isready", "-q", "-h", "127.0.0.1"]
    return subprocess.run(command, capture_output=True).returncode


def keep_starting(pi: Site) -> None:
    """Restart the server as one that replays a log without end, and lets nobody in meanwhile."""
    pi.sql("ALTER SYSTEM SET hot_standby = off")
    docker("exec", pi.container, "touch", f"{DATA}/standby.signal")
    docker("restart", "-t", "10", pi.container)
    wait_until(lambda: readiness(pi) == 1, "the server refuses because it is starting")


def let_it_start(pi: Site) -> None:
    docker("exec", "-u", "postgres", pi.container, "sh", "-c", f"touch {DATA}/promote && kill -USR1 1")


def test_a_backup_waits_until_the_database_has_started(pi: Site) -> None:
    keep_starting(pi)
    agent = pi.start_agent("run")
    assert agent.stdout is not None
    # Ends with the agent's output: one that does not wait says nothing of it.
    assert any("database: starting up, waited" in line for line in agent.stdout)
    let_it_start(pi)
    said, _ = agent.communicate(timeout=120)
    assert agent.returncode == 0, said
    assert pi.must("list").count("loomio_backup_") == 1


def test_not_for_ever(pi: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_starting(pi)
    monkeypatch.setattr(postgres, "_STARTING_SECONDS", 1)
    spool = pi.root / "spool"
    spool.mkdir()
    with (
        pytest.raises(SourceError, match=r"is still starting up after [1-9] s"),
        opened(pi.config, spool),
    ):
        raise AssertionError("it was let in")


def test_one_that_does_not_listen_is_named_soon(pi: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_SILENT_SECONDS", 1)
    pi.sql("ALTER SYSTEM SET listen_addresses = ''")
    docker("restart", "-t", "10", pi.container)
    spool = pi.root / "spool"
    spool.mkdir()
    with pytest.raises(SourceError, match=r"does not answer after [1-9] s"), opened(pi.config, spool):
        raise AssertionError("it was let in")
    assert pi.helpers() == []
