"""A disaster recovery that is interrupted: a Pi that died and left a backup in Drive, new Pis, an operator.

The operator's deploy runs as a person types it; what it prints tells how far it has come, and when something
is done to it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploys.steps.paths import BACKUP_TIMER, RESTORE_SERVICE, SETTLE_PATH, TIMERS
from inventories.stack_settings import Layout
from tests.lab.data import Spec
from tests.lab.data.compare import compare
from tests.lab.docker import REPOSITORY, docker, wait_until
from tests.lab.drill import operator as desk
from tests.lab.drill.judge import list_files, run_sql, web_status
from tests.lab.drill.life import fill
from tests.lab.drill.operator import Finished, Operator
from tests.lab.lab import Lab
from tests.lab.pi import Pi

_PROJECT = Layout().project
Strike = Callable[[subprocess.Popen[str], str], None]
"""What is done to a recovery (the operator's process) when it has printed a text."""
_PATIENCE = 900.0
"""Seconds in which the operator's side has to notice that the Pi is gone, or to come to its end."""
_SPEC = Spec(seed=11, db_mb=4, files_mb=4)
#: As on a new card, but for what comes from other places than ours: Debian's packages and Docker's images.
_WIPE = f"""
systemctl disable --quiet --now {SETTLE_PATH} {" ".join(TIMERS)} 2>/dev/null || true
ids=$(docker ps -aq); test -z "$ids" || docker rm -f -v $ids >/dev/null
volumes=$(docker volume ls -q); test -z "$volumes" || docker volume rm $volumes >/dev/null
docker network prune -f >/dev/null
rm -rf /etc/systemd/system/loomio-* /opt/loomio-backup /opt/loomio-pi-stack /usr/local/bin/loomio-backup
rm -rf /etc/loomio-backup /var/lib/loomio-backup /var/lib/loomio-pi-stack /var/backups/loomio
rm -f /run/loomio-*; systemctl daemon-reload; systemctl reset-failed
"""


@dataclass
class RecoveryRig:
    """`pi`: the new one, `backup`: what it is to come back from."""

    lab: Lab
    operator: Operator
    pi: Pi
    random: random.Random

    def reflash(self) -> None:
        """The Pi dies; a new card, a fresh system, at the same address."""
        port = self.pi.ssh_port
        self.pi.destroy()
        self.pi = self.lab.new_pi(port=port)
        self.operator.forget_host_key(port)

    def wipe(self) -> None:
        """Nothing of ours is left on the Pi."""
        self.pi.run("sh", "-ec", _WIPE)

    def recover(self) -> Finished:
        """A recovery that nobody interrupts."""
        return self.operator.deploy("disaster_recovery")

    def interrupted(self, triggers: Sequence[str], strike: Strike) -> tuple[str | None, int, str]:
        """As the function of that name."""
        return interrupted(self.operator, triggers, strike)

    def cut_power(self) -> bool:
        """Power goes and comes again. Always true: it struck."""
        docker("kill", self.pi.name)
        docker("start", self.pi.name)
        up = ("systemctl", "is-active", "-q", "ssh.service")
        wait_until(lambda: self.pi.succeeds(*up), "the Pi is up again", 120)
        return True

    def await_half_made_database(self) -> None:
        """The database server's first start has begun, and goes on."""
        made = f"/var/lib/docker/volumes/{_PROJECT}_db-data/_data/PG_VERSION"
        self.pi.run("timeout", "300", "sh", "-c", f"until test -e {made}; do sleep 0.02; done")

    def kill_agent(self) -> bool:
        """SIGKILL for whatever the agent is doing; whether it did anything."""
        return self.pi.succeeds("pkill", "-KILL", "-f", "bin/loomio-backup")

    def timers_are_on(self) -> bool:
        """Whether backups are made by themselves."""
        return self.pi.succeeds("systemctl", "is-enabled", "-q", BACKUP_TIMER)

    def app_is_there(self) -> bool:
        """Whether there is a container of the app."""
        if not self.pi.succeeds("docker", "info"):
            return False
        of_app = ("--filter", "label=com.docker.compose.service=app")
        own = f"label=com.docker.compose.project={_PROJECT}"
        return bool(self.pi.run("docker", "ps", "-aq", "--filter", own, *of_app))

    def differences(self) -> list[str]:
        """Everything that is not as at the source."""
        pi = self.pi
        found = list(compare(_SPEC, lambda script: run_sql(pi, script), lambda: list_files(pi)).differences())
        if web_status(pi) != 200:
            found.append("the web interface does not answer")
        if not pi.succeeds("systemctl", "is-enabled", "-q", *TIMERS):
            found.append("not all timers are on")
        return found

    def journal(self) -> str:
        """The last words of the restore."""
        return self.pi.run("journalctl", "--no-pager", "-o", "cat", "-n", "30", "-u", RESTORE_SERVICE)


def interrupted(
    operator: Operator,
    triggers: Sequence[str],
    strike: Strike,
    *arguments: str,
) -> tuple[str | None, int, str]:
    """Start a recovery; as soon as it prints one of these, `strike`. Returns which it was (None: none came),
    the exit code, and all that was printed.
    """
    process = _started(operator, *arguments)
    struck, lines = None, []
    # It must not hang for ever on a Pi that is gone; the exit code then tells that it did.
    limit = threading.Timer(_PATIENCE, lambda: kill(process))
    assert process.stderr is not None
    try:
        with process.stderr:
            for line in process.stderr:
                lines.append(line)
                came = [text for text in triggers if text in line]
                if struck is None and came:
                    struck = came[0]
                    strike(process, came[0])
                    limit.start()
        code = process.wait()
    finally:
        limit.cancel()
        kill(process)
    return struck, code, "".join(lines)


def interrupted_after(
    operator: Operator,
    seconds: float,
    strike: Callable[[subprocess.Popen[str]], bool],
) -> tuple[list[str] | None, int, str]:
    """Start a recovery, and `strike` after so many seconds. Returns the lines that it had printed by then
    (None: it had come to its end, or there was nothing to strike), the exit code, and all that was printed.
    """
    process, struck = _started(operator), None
    lines: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        with process.stderr:
            lines.extend(process.stderr)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            before = list(lines)
            struck = before if strike(process) else None
        code = process.wait(_PATIENCE)
    finally:
        kill(process)
        reader.join()
    return struck, code, "".join(lines)


def _started(operator: Operator, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["loomio-pi", "deploy", "disaster_recovery", *arguments],
        cwd=REPOSITORY,
        env=operator.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL for a command and everything that it has started here."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        # It has ended by itself.
        return


@contextmanager
def recovery_rig(root: Path, seed: int) -> Iterator[RecoveryRig]:
    """A lab whose first Pi was set up, used, backed up, and is dead; a new one has its address."""
    folder = root / "operator"
    folder.mkdir(mode=0o700)
    with Lab(folder, "trixie", sudo_password=False) as lab:
        pi = lab.new_pi()
        credentials = lab.cloud.drive.register_user()
        operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=credentials)
        _must(operator.deploy("setup"))
        fill(pi, _SPEC)
        _must(operator.deploy("backup", "--data", "label=source"))
        made = RecoveryRig(lab, operator, pi, random.Random(seed))
        made.reflash()
        yield made


def _must(done: Finished) -> None:
    assert done.code == 0, done.output[-4000:]


def moment(chance: random.Random, longest: float) -> None:
    """Let a random time pass: something is to happen in the middle of what goes on."""
    time.sleep(chance.uniform(0, longest))
