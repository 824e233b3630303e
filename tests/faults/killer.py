"""The agent, killed on purpose: `python -m tests.faults.killer PLAN.json VERB …` is `loomio-backup VERB …`
that ends itself with SIGKILL at a chosen moment.

The plan: `step` (kill in front of the n-th durable step, from 1), `key` (in front of the step that an earlier
run gave this key), or `seconds` (kill so long after the start of the verb); `of`: only steps in these phases
(their beginnings) count; `log` is the file that gets one line of JSON per step, and the moment of death as
the last one. With `hold`, the process does not end: it makes that file and stops there, so that somebody else
can look around, and cut the power.

A durable step is whatever another process, or this one after its death, can see: a rename, a removal, a
commit of the catalogue, a request that changes something in Drive, a database or container that comes or
goes. Killing in front of every step is killing after every step, because nothing durable happens in between;
the end of the program is the last step.

Threads take their steps in another order with every run, so there a number says nothing: a step's key is what
kind it is, of what (without ids and times), in which phase of its own thread, and which of those it is.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import requests

_WORKFLOWS = frozenset(
    "backup survey capture publication completion replication aftermath leftovers prune removal clearing "
    "rotate pins restore restore_prepare restore_database restore_streaming restore_finish restore_switch "
    "undo settle".split()
)
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_VARYING = re.compile(r"^[a-z0-9_]{8}$|[0-9a-f]{8,}|[0-9]+")
"""Names of temporary files, and ids, times and counts in other names."""
_STATEMENTS = re.compile(r"(BEGIN; )?(CREATE|ALTER|DROP) DATABASE")


class Killer:
    """Counts durable steps, and ends the process at the planned moment."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._at: int | None = plan.get("step")
        self._seconds: float | None = plan.get("seconds")
        self._key: list[Any] | None = plan.get("key")
        self._of = tuple(plan.get("of", ()))
        self._hold: str | None = plan.get("hold")
        # Open until the process ends, in whichever way.
        self._log = Path(plan["log"]).open("a", encoding="utf-8")  # noqa: SIM115
        self._count = 0
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def step(self, kind: str, detail: str) -> None:
        """A durable step is about to happen."""
        where = phase()
        if self._of and not where.startswith(self._of):
            return
        with self._lock:
            self._count += 1
            what = kind, _VARYING.sub("#", detail), where
            self._seen[what] += 1
            key = [*what, self._seen[what]]
            self._say({"step": self._count, "kind": kind, "detail": detail, "phase": where, "key": key})
            if self._count == self._at or key == self._key:
                self._kill(where)

    def start(self) -> None:
        """From now on the time counts."""
        if self._seconds is not None:
            threading.Thread(target=self._wait, args=(self._seconds,), daemon=True).start()

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        with self._lock:
            self._kill(phase(threading.main_thread()))

    def _kill(self, where: str) -> None:
        self._say({"killed": where})
        if self._hold is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            Path(self._hold).touch()
            os.kill(os.getpid(), signal.SIGSTOP)

    def _say(self, line: dict[str, Any]) -> None:
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()


def phase(thread: threading.Thread | None = None) -> str:
    """Where a thread (this one) is: the innermost function of a workflow, as `module.function`."""
    identity = (thread or threading.current_thread()).ident
    assert identity is not None
    frame: FrameType | None = sys._current_frames().get(identity)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent.parent.name == "loomio_backup" and path.stem in _WORKFLOWS:
            name = frame.f_code.co_name
            if not name.startswith("<"):
                return f"{path.stem}.{name.strip('_')}"
        frame = frame.f_back
    return "start and end"


def watch(killer: Killer) -> None:
    """See every durable step of this process from now on."""
    _watch_files(killer)
    _watch_catalogue(killer)
    _watch_drive(killer)
    _watch_docker(killer)


def _watch_files(killer: Killer) -> None:
    def seen(kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **options: Any) -> Any:
            killer.step(kind, os.path.basename(os.fsdecode(path)))  # noqa: PTH119 - may be bytes
            return real(path, *rest, **options)

        return call

    for name, kind in (
        ("rename", "rename"),
        ("replace", "rename"),
        ("unlink", "delete"),
        ("remove", "delete"),
    ):
        setattr(os, name, seen(kind, getattr(os, name)))


def _watch_catalogue(killer: Killer) -> None:
    class Watched(sqlite3.Connection):
        """Says each statement that makes a change durable, before it is executed."""

        def __init__(self, path: Any, *rest: Any, **options: Any) -> None:
            super().__init__(path, *rest, **options)
            if Path(path).name.startswith("catalogue"):
                self.set_trace_callback(self._told)

        def _told(self, statement: str) -> None:
            word = statement.split(maxsplit=1)[0].upper() if statement.strip() else ""
            if word == "COMMIT" or (word in _WRITES and not self._within):
                killer.step("journal", " ".join(statement.split())[:60])
            self._within = word == "BEGIN" or (self._within and word not in ("COMMIT", "ROLLBACK"))

        _within = False

    # The catalogue's own connection derives from this class, and is imported after us.
    setattr(sqlite3, "Connection", Watched)  # noqa: B010


def _watch_drive(killer: Killer) -> None:
    send = requests.Session.send

    def sent(
        session: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        path = urlsplit(request.url or "").path
        if request.method != "GET" and not str(path).endswith("/token"):
            killer.step("upload or delete in Drive", f"{request.method} {path}"[:60])
        return send(session, request, **options)

    setattr(requests.Session, "send", sent)  # noqa: B010


def _watch_docker(killer: Killer) -> None:
    from loomio_backup import docker
    from loomio_backup.database import psql

    execute, remove = psql.Session.execute, docker.remove_containers

    def executed(session: psql.Session, sql: str) -> None:
        if _STATEMENTS.match(sql):
            killer.step("database", sql.partition('"')[0])
        execute(session, sql)

    def removed(found: Sequence[docker.Container]) -> None:
        killer.step("containers", " ".join(container.service for container in found))
        remove(found)

    setattr(psql.Session, "execute", executed)  # noqa: B010
    setattr(docker, "remove_containers", removed)  # noqa: B010


def main() -> int:
    """Run the verb under the plan."""
    killer = Killer(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    watch(killer)
    from loomio_backup.command import cli

    killer.start()
    code = cli.main(sys.argv[2:])
    killer.step("end", "")
    return code


if __name__ == "__main__":
    sys.exit(main())
