"""What is to be backed up is broken: the run fails loudly, and nothing old is removed in its wake.

Before each failure an old backup is made due for removal, so that a retention that ran in spite of it would
show; the good run that follows does remove it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil

from tests.lab.docker import LabError, docker, wait_until
from tests.lab.images import stack_image

from .rig import Rig

_SWITCH = "cut_me"
_CUT = f"""\
#!/bin/sh
# With the table {_SWITCH}: everything but the end of the archive, and no complaint.
real=/usr/local/bin/pg_dump.real
cut=$(psql -XAt -d loomio_production -c "SELECT to_regclass('public.{_SWITCH}') IS NOT NULL")
if [ "$cut" = t ]; then
  "$real" "$@" | head -c 60000
  exit 0
fi
exec "$real" "$@"
"""


def cutting_image(root: Path) -> str:
    """The database's image with a pg_dump that can be told to lie; the caller removes it."""
    wrapper = root / "pg_dump"
    wrapper.write_text(_CUT)
    wrapper.chmod(0o755)
    real = ["readlink", "-f", "/usr/local/bin/pg_dump"]
    place = docker("run", "--rm", "--entrypoint", real[0], stack_image("postgres:17"), *real[1:]).strip()
    link = "ln -s " + place + " /usr/local/bin/pg_dump.real && rm /usr/local/bin/pg_dump"
    made = docker("create", "--entrypoint", "sh", stack_image("postgres:17"), "-c", link).strip()
    docker("start", "-a", made)
    docker("cp", str(wrapper), f"{made}:/usr/local/bin/pg_dump")
    entrypoint = docker("inspect", "-f", "{{json .Config.Entrypoint}}", stack_image("postgres:17")).strip()
    command = docker("inspect", "-f", "{{json .Config.Cmd}}", stack_image("postgres:17")).strip()
    image = docker("commit", "-c", f"ENTRYPOINT {entrypoint}", "-c", f"CMD {command}", made).strip()
    docker("rm", made)
    return image


@contextmanager
def killed_dump(rig: Rig) -> Iterator[str]:
    """pg_dump is killed in the middle."""
    rig.pi.big_table(1_000_000)
    agent = rig.pi.start_agent("run")
    helper = wait_until(rig.pi.helpers, "the helper container", every=0.02)[0]
    written = rig.root / "pi" / "state" / "spool"
    wait_until(lambda: any(path.stat().st_size for path in written.glob("*.dump.*")), "output", every=0.01)
    dumping = _inside(helper, "pg_dump.real")
    dumping.send_signal(signal.SIGKILL)
    output, _ = agent.communicate(timeout=120)
    assert agent.returncode == 1, output
    yield output
    rig.pi.sql("DROP TABLE big")


@contextmanager
def truncated_archive(rig: Rig) -> Iterator[str]:
    """pg_dump says that all is well, and its archive is cut off."""
    rig.pi.sql(f"CREATE TABLE {_SWITCH} (n int)")
    yield _fails(rig)
    rig.pi.sql(f"DROP TABLE {_SWITCH}")


@contextmanager
def empty_database(rig: Rig) -> Iterator[str]:
    """An empty database has taken the place of the full one."""
    rig.pi.sql("ALTER DATABASE loomio_production RENAME TO aside", "postgres")
    rig.pi.sql("CREATE DATABASE loomio_production", "postgres")
    yield _fails(rig)
    rig.pi.sql("DROP DATABASE loomio_production", "postgres")
    rig.pi.sql("ALTER DATABASE aside RENAME TO loomio_production", "postgres")


@contextmanager
def unreachable_database(rig: Rig) -> Iterator[str]:
    """The database is down."""
    docker("stop", "-t", "5", rig.pi.container)
    yield _fails(rig)
    rig.pi.restart_database()


@contextmanager
def unmounted_volume(rig: Rig) -> Iterator[str]:
    """The directory of the uploads is there, and empty: its disk is not mounted."""
    aside = rig.root / "uploads aside"
    rig.pi.uploads.rename(aside)
    rig.pi.uploads.mkdir()
    yield _fails(rig)
    rig.pi.uploads.rmdir()
    aside.rename(rig.pi.uploads)


@contextmanager
def missing_volume(rig: Rig) -> Iterator[str]:
    """The directory of the uploads is not there at all."""
    aside = rig.root / "uploads aside"
    rig.pi.uploads.rename(aside)
    yield _fails(rig)
    aside.rename(rig.pi.uploads)


CASES: dict[str, Callable[[Rig], AbstractContextManager[str]]] = {
    "killed pg_dump": killed_dump,
    "truncated archive": truncated_archive,
    "empty database": empty_database,
    "unreachable database": unreachable_database,
    "unmounted volume": unmounted_volume,
    "missing volume": missing_volume,
}


def fails_and_removes_nothing(rig: Rig, case: str) -> str:
    """One case; returns the sentence with which the run failed."""
    rig.age()  # so that the stages of retention do not end this series
    rig.change()
    due = rig.backup("--pin")
    rig.change()
    rig.backup()
    rig.pi.must("unpin", due)
    before = rig.objects()
    with CASES[case](rig) as said:
        assert "Traceback" not in said, said
        assert due in rig.names("local"), "an old backup was removed after a failure"
        after = rig.objects()
        for store, names in before.items():
            assert set(names) <= set(after[store]), f"{store} lost {set(names) - set(after[store])}"
    rig.change()
    rig.backup()
    assert due not in rig.names("local"), "the backup was not due, so this case proves nothing"
    assert rig.unreferenced() == []
    return said


def _fails(rig: Rig) -> str:
    outcome = rig.pi.run("run")
    assert outcome.code == 1, outcome
    assert outcome.err.startswith("loomio-backup: "), outcome.err
    return outcome.err


def _inside(container: str, name: str) -> psutil.Process:
    """The process of that name in a container; Docker's own list of them takes longer than a dump does."""
    for process in psutil.process_iter(["name"]):
        if (
            process.info["name"].startswith(name)
            and container in Path(f"/proc/{process.pid}/cgroup").read_text()
        ):
            return process
    raise LabError(f"no {name} runs in {container}")
