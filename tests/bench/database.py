"""The database part of a backup, beside the least that anybody could do: PostgreSQL's dump into nothing."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from loomio_backup import docker
from tests.faults.writers_series import manifest_of
from tests.lab.agent_site import DATABASE, USER, Site, site

from .figures import Spread, tell
from .sources import fill_database

LIMIT = 2.0
"""The database part takes at most so many times PostgreSQL's own."""
# Inside the container, so that no stream leaves it. --no-sync: /dev/null cannot be synchronised.
_BASELINE = f"TIMEFORMAT=%R; time pg_dump -U {USER} -Fc -Z0 --no-sync -f /dev/null {DATABASE}"


@dataclass(frozen=True)
class DatabasePart:
    """Seconds of both, measured in turns; bytes of the database, of its dump, and of the stored object.
    `start`: seconds for a container and two programs in it to start and end, whatever the size.
    """

    rounds: int
    database_bytes: int
    plain_bytes: int
    stored_bytes: int
    start: Spread
    baseline: Spread
    agent: Spread
    ratio: Spread
    """Of each round; `of_medians` is the one that counts."""
    of_medians: float

    @property
    def within_limits(self) -> bool:
        """Whether the agent is as fast as it has to be."""
        return self.of_medians <= LIMIT


def measure_database(root: Path, database_mb: int, rounds: int = 5) -> DatabasePart:
    """Back up a database of about so many MB so many times, PostgreSQL's own dump before each."""
    with site(root / "pi", f"bench-database-{os.getpid()}", local=root / "disk") as pi:
        size = fill_database(pi, database_mb)
        (pi.storage / "file").write_text("one attachment")
        _baseline(pi.container)
        start, baseline, agent = [], [], []
        for _ in range(rounds):
            start.append(_start(pi))
            baseline.append(_baseline(pi.container))
            name = re.findall(r"backup (loomio_backup_\w+) is complete", pi.must("run"))[0]
            manifest = manifest_of(pi, name)
            agent.append(manifest.durations["database"])
        dump = manifest.only("database")
        found = DatabasePart(
            rounds=rounds,
            database_bytes=size,
            plain_bytes=dump.plain_size,
            stored_bytes=dump.stored_size,
            start=Spread.of(start),
            baseline=Spread.of(baseline),
            agent=Spread.of(agent),
            ratio=Spread.of([a / b for a, b in zip(agent, baseline, strict=True)]),
            of_medians=round(Spread.of(agent).median / Spread.of(baseline).median, 2),
        )
    tell("database", found)
    return found


def _start(pi: Site) -> float:
    began = time.monotonic()
    container = docker.service_container(pi.project, "db")
    work = pi.root / "helper"
    work.mkdir()
    with docker.helper(pi.project, container, USER, None, work) as helper:
        for _ in range(2):
            assert helper.start("true").wait() == 0
    work.rmdir()
    return time.monotonic() - began


def _baseline(container: str) -> float:
    command = ["docker", "exec", container, "bash", "-c", _BASELINE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stderr)
