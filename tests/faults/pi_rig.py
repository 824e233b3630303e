"""A simulated Pi, set up as the deploys do it, that loses its power in the middle of a restore.

The restore runs in its own unit; the unit's program is wrapped by killer.py, which stops it at the planned
moment. Then the container that is the Pi is killed and started again. What the Pi had written is there after
that, also what a real one had not synced yet: this is about programs that end at once, and a system that
boots, not about disks that lose what they were given.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploys.steps.paths import (
    AGENT_ROOT,
    RESTORE_OPTIONS,
    RESTORE_SERVICE,
    SETTLE_SERVICE,
    TIMERS,
)
from inventories.stack_settings import Layout
from tests.lab.data import Spec
from tests.lab.docker import docker, wait_until
from tests.lab.drill import operator as desk
from tests.lab.drill.judge import web_status
from tests.lab.drill.life import fill
from tests.lab.lab import Lab
from tests.lab.pi import Pi

from . import killer, pi_look
from .restore_series import OURS

_PROJECT = Layout().project
_LAB = "/opt/lab-faults"
_DROP_IN = f"/etc/systemd/system/{RESTORE_SERVICE}.d/lab.conf"
_HELD = f"{_LAB}/held"
_WRAPPED = f"""[Service]
ExecStart=
ExecStart={AGENT_ROOT}/current/bin/python {_LAB}/killer.py {_LAB}/plan.json restore --unattended --wait \
$RESTORE_OPTIONS
"""
_WORK_IN_DATABASE = b"""
DELETE FROM notifications WHERE id % 3 = 0;
CREATE TABLE IF NOT EXISTS lab_later (id serial, at timestamptz DEFAULT now());
INSERT INTO lab_later DEFAULT VALUES;
"""
_WORK_IN_FILES = f"""
cd /var/lib/docker/volumes/{_PROJECT}_uploads/_data
folder=$(find . -mindepth 2 -type f -printf '%h\n' | sort | head -n 1)
rm "$folder/$(ls "$folder" | head -n 1)"
for name in one two; do date +%N > "$folder/lab $name"; done
"""
#: Ends when the restore is held, or has ended, whichever it is.
_UNTIL_HELD = f"""
until test -e {_HELD}; do
  case $(systemctl show -P ActiveState {RESTORE_SERVICE}) in inactive|failed) exit 0;; esac
  sleep 0.1
done
"""
#: After a boot: until nothing is left to settle. Tells whenever the app runs while the journal says that the
#: switch goes on.
_UNTIL_SETTLED = f"""
for try in $(seq 1 1500); do
  if test -e /var/lib/loomio-backup/restore-unsettled; then
    state=$(sed -n 's/^ *"state": "\\([a-z]*\\)".*/\\1/p' /var/lib/loomio-backup/restore-journal.json)
    due=$(grep -c '"start_due": true' /var/lib/loomio-backup/restore-journal.json)
    app=$(docker ps -q --filter label=com.docker.compose.project={_PROJECT} \
      --filter label=com.docker.compose.service=app 2>/dev/null)
    test -z "$app" || echo "app $state $due"
  elif test "$(systemctl show -P ActiveState {SETTLE_SERVICE})" = inactive; then
    exit 0
  fi
  sleep 0.2
done
journalctl --no-pager -n 40 -u {SETTLE_SERVICE} >&2
exit 1
"""

_SPEC = Spec(seed=12, db_mb=4, files_mb=4)


@dataclass(frozen=True)
class Seen:
    """What pi_look.py found."""

    databases: dict[str, str]
    files: str
    live: frozenset[tuple[str, str]]
    kept: frozenset[tuple[str, str]]
    running: tuple[str, ...]
    journal: dict[str, Any]
    marker: bool

    @property
    def state(self) -> tuple[str, str]:
        """Fingerprints of the live database and of the live files."""
        return self.databases.get("loomio_production", "none"), self.files


@dataclass(frozen=True)
class Hold:
    """Where a restore was stopped (`phase`), its durable steps until then, and what was on the Pi there."""

    phase: str
    steps: list[dict[str, str]]
    seen: Seen


@dataclass
class PiRig:
    """The Pi goes to and fro between two backups, `states` has what each of them holds."""

    pi: Pi
    random: random.Random
    states: dict[str, Seen] = field(default_factory=dict)

    def prepare(self) -> None:
        """Put the killer around the program of the restore's unit; no timer starts anything meanwhile."""
        self.pi.run("systemctl", "disable", "--quiet", "--now", *TIMERS)
        self.pi.run("mkdir", "-p", _LAB)
        self._write(f"{_LAB}/killer.py", Path(killer.__file__).read_text())
        self._write(f"{_LAB}/plan.json", "{}")
        self.pi.run("mkdir", "-p", str(Path(_DROP_IN).parent))
        self._write(_DROP_IN, _WRAPPED)
        self.pi.run("systemctl", "daemon-reload")

    def put_away(self) -> None:
        """The unit is as setup made it."""
        self.pi.run("rm", "-rf", _LAB, str(Path(_DROP_IN).parent))
        self.pi.run("systemctl", "daemon-reload")
        self.pi.run("systemctl", "enable", "--quiet", "--now", *TIMERS)

    def back_up(self, label: str) -> str:
        """A pinned backup of what is live; its name. What it holds is remembered."""
        self.pi.run("loomio-backup", "run", "--pin", "--label", label)
        listed = json.loads(self.pi.run("loomio-backup", "list", "--json"))
        name: str = next(one["name"] for one in listed if one["label"] == label)
        self.states[name] = self.look()
        return name

    def work(self) -> None:
        """People work. A directory of app-data keeps the number of its children, and so does a restore the
        number of its steps.
        """
        psql = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "loomio", "-d", "loomio_production")
        database = self.pi.database_container()
        self.pi.run("docker", "exec", "-i", database, *psql, input=_WORK_IN_DATABASE)
        self.pi.run("sh", "-ec", _WORK_IN_FILES)

    def other(self, name: str) -> str:
        """The backup that is not this one."""
        [found] = [known for known in self.states if known != name]
        return found

    def look(self) -> Seen:
        """Everything that is on the Pi now."""
        program = Path(pi_look.__file__).read_bytes()
        found = json.loads(self.pi.run("python3", "-", _PROJECT, input=program))
        for key in ("live", "kept"):
            found[key] = frozenset(tuple(fact) for fact in found[key])
        return Seen(**found | {"running": tuple(found["running"])})

    def restore(self, name: str, *options: str) -> None:
        """A restore by its unit that nothing interrupts."""
        self._plan({})
        self._choose(name, options)
        self.pi.run("systemctl", "start", RESTORE_SERVICE)

    def held(self, name: str, **plan: Any) -> Hold | None:
        """Start a restore that stops at the planned moment. None where it had come to its end before."""
        self._plan({**plan, "hold": _HELD})
        self._choose(name, ())
        self.pi.run("systemctl", "start", "--no-block", RESTORE_SERVICE)
        self.pi.run("sh", "-c", _UNTIL_HELD)
        lines = [json.loads(line) for line in self.pi.run("cat", f"{_LAB}/steps.jsonl").splitlines()]
        if not self.pi.succeeds("test", "-e", _HELD):
            assert self.pi.run("systemctl", "show", "-P", "Result", RESTORE_SERVICE) == "success", self.said()
            return None
        return Hold(lines[-1]["killed"], [line for line in lines if "step" in line], self.look())

    def steps(self, name: str) -> list[dict[str, str]]:
        """The durable steps of a restore that nothing interrupts."""
        self.restore(name)
        lines = self.pi.run("cat", f"{_LAB}/steps.jsonl").splitlines()
        return [json.loads(line) for line in lines]

    def cut_power(self) -> list[str]:
        """Power goes and comes again; wait until the Pi has settled by itself. Returns what was seen of the
        app until then: `app STATE START_DUE` of the journal.
        """
        docker("kill", self.pi.name)
        docker("start", self.pi.name)
        seen = self.pi.run("sh", "-c", _UNTIL_SETTLED)
        wait_until(lambda: web_status(self.pi) == 200, "the app is back after the power cut", 300, every=0.5)
        return sorted(set(seen.splitlines()))

    def said(self) -> str:
        """The last words of restoring and settling."""
        units = ("-u", RESTORE_SERVICE, "-u", SETTLE_SERVICE)
        return self.pi.run("journalctl", "--no-pager", "-o", "cat", "-n", "40", *units)

    def forget(self) -> None:
        """Let go of what is kept aside."""
        self.pi.run("loomio-backup", "undo", "--forget", "--unattended")

    def _choose(self, name: str, options: tuple[str, ...]) -> None:
        words = " ".join(["--backup", name, "--replace-live-data", *options])
        self._write(RESTORE_OPTIONS, f"RESTORE_OPTIONS={words}\n")

    def _plan(self, plan: dict[str, Any]) -> None:
        self.pi.run("rm", "-f", _HELD, f"{_LAB}/steps.jsonl")
        # Not the steps of the backup that it makes first: those are another series' business.
        whole = {"of": OURS, **plan, "log": f"{_LAB}/steps.jsonl"}
        self._write(f"{_LAB}/plan.json", json.dumps(whole))

    def _write(self, path: str, text: str) -> None:
        self.pi.run("sh", "-c", 'cat > "$1"', "sh", path, input=text.encode())


@contextmanager
def live_pi(root: Path, seed: int) -> Iterator[tuple[PiRig, str]]:
    """A Pi as setup makes it, two backups, and the name of the one that is live."""
    folder = root / "operator"
    folder.mkdir(mode=0o700)
    with Lab(folder, "trixie", sudo_password=False) as lab:
        pi = lab.new_pi()
        credentials = lab.cloud.drive.register_user()
        operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=credentials)
        done = operator.deploy("setup")
        assert done.code == 0, done.output[-4000:]
        fill(pi, _SPEC)
        rig = PiRig(pi, random.Random(seed))
        rig.prepare()
        rig.back_up("first")
        rig.work()
        yield rig, rig.back_up("second")
