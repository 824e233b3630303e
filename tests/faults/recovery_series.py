"""Disaster recovery, interrupted in each of its phases one after the other, and run again each time; and
while Drive fails now and then, or is gone.

One chain of interruptions per way of interrupting: every run gets a phase further than the one before, and
has to live with all that those left behind. At the end everything is as at the source.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from loomio_backup.progress import Ticker

from .recovery_rig import RecoveryRig, Strike, interrupted_after, kill, moment
from .store_faults import FAULTS

OPERATOR, POWER, AGENT = "the operator's pyinfra is killed", "the Pi's power is cut", "the agent is killed"
_CHOOSE = "Recovery | Take the version"
#: What the deploy prints when it comes to each phase; where the agent works.
_RESTORE = {
    "Restore the newest backup from": "restore: start",
    "] restoring loomio_backup_": "restore: database",
    "rows restored beside and compared": "restore: files",
    " staged and compared": "restore: switch",
    " is restored: ": "restore: end",
}
PHASES = {
    "Docker | Begin to install Docker": "packages",
    "Agent | Write the credential identity": "credentials",
    "Schedule | Bring the units": "units",
    "Docker | Install Docker's packages": "engine",
    "Stack | Clone the stack's repository": "clone",
    "Agent | Install the agent": "agent",
    _CHOOSE: "choose",
    "Stack | Fetch the images": "images",
    "Stack | Start db, redis": "database server",
    **_RESTORE,
    "Recovery | Keep to the version": "version",
    "Stack | Start every service": "start",
    "Recovery | Verify what was recovered": "verification",
    "Schedule | Enable loomio-backup.timer": "timers",
    "Recovery | Read the agent's report": "report",
}
_LONGEST_MOMENT = 1.5
_TIMERS_COME_WITH = ("timers", "report")
#: Faults that pass, each so often in a row, at these requests.
_NOW_AND_THEN = (
    ("status 503 backendError", "files.list", 2),
    ("drop-before-commit", "download", 2),
    ("truncate 300000", "download", 1),
    ("html", "files.get", 1),
    ("status 429 rateLimitExceeded, with Retry-After", "token", 1),
    ("drop-after-commit", "files.list", 1),
    ("corrupt", "download", 1),
    ("unauthorized", "download", 1),
)


@dataclass
class Recoveries:
    """Interruptions by way and phase, and how often everything was compared at the end."""

    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    compared: int = 0
    drive: Counter[str] = field(default_factory=Counter)
    said: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


class RecoverySeries:
    """Chains of interruptions on the Pis of one rig."""

    def __init__(self, rig: RecoveryRig) -> None:
        self._rig, self.tally = rig, Recoveries()

    def operator_killed(self) -> None:
        """The operator's machine dies in each phase: what runs on the Pi may go on there."""

        def strike(process: subprocess.Popen[str], _: str) -> None:
            moment(self._rig.random, _LONGEST_MOMENT)
            kill(process)

        self._chain(OPERATOR, PHASES, strike)

    def power_cut(self) -> None:
        """The Pi loses its power in each phase."""
        rig = self._rig

        def strike(_: subprocess.Popen[str], text: str) -> None:
            if PHASES[text] == "database server":
                rig.await_half_made_database()
            else:
                moment(rig.random, _LONGEST_MOMENT)
            rig.cut_power()

        self._chain(POWER, PHASES, strike)

    def agent_killed(self) -> None:
        """The agent is killed wherever it works."""

        def strike(_: subprocess.Popen[str], __: str) -> None:
            moment(self._rig.random, _LONGEST_MOMENT)
            self._rig.kill_agent()

        # What it would choose is no more than asked: without an answer the recovery goes on to its end.
        self._chain(AGENT, {_CHOOSE: PHASES[_CHOOSE]}, strike)
        self._rig.wipe()
        self._chain(AGENT, _RESTORE, strike)

    def at_moments(self, count: int) -> Recoveries:
        """At so many random moments, in one way after the other. One that gets to its end all the same is
        compared, and the next begins with nothing again.
        """
        rig, ticker = self._rig, Ticker("random moments of a recovery")
        self._ends_equal("nothing")
        rig.wipe()
        began = time.monotonic()
        self._ends_equal("nothing, with packages and images there")
        usual = time.monotonic() - began
        rig.wipe()
        for way in itertools.cycle((OPERATOR, POWER, AGENT)):
            struck = self.tally.struck.total()
            ticker.tick(f"{struck} of {count}", struck / count)
            if struck == count:
                break
            self._at_moment(way, rig.random.uniform(0, usual))
        self._ends_equal("the last of them")
        return self.tally

    def _at_moment(self, way: str, seconds: float) -> None:
        rig, where = self._rig, f"{way} after {seconds:.2f} s"
        strikes = {OPERATOR: _dies, POWER: lambda _: rig.cut_power(), AGENT: lambda _: rig.kill_agent()}
        before, code, output = interrupted_after(rig.operator, seconds, strikes[way])
        assert "Traceback" not in output, f"{where}: {output[-6000:]}"
        if before is not None:
            came = [phase for line in before for text, phase in PHASES.items() if text in line]
            self.tally.struck[way, came[-1] if came else "start"] += 1
            if not self._is_behind("Verify what was recovered", output):
                assert not rig.timers_are_on(), f"{where}: the timers are on before the end"
        else:
            assert code == 0, f"nothing was struck: {output[-6000:]}"
        if code == 0:
            self._is_equal(where)
            rig.wipe()

    def _chain(self, way: str, phases: dict[str, str], strike: Strike) -> None:
        rig, left, ticker, began = self._rig, list(phases), Ticker(way), time.monotonic()
        while left:
            text, code, output = rig.interrupted(left, strike)
            if text is None:
                # All that was left is behind it: the last interruption had let it go on, even to the end.
                over = code == 1 and "Nothing is left for a recovery" in output and rig.timers_are_on()
                assert code == 0 or over, f"after {way}: {output[-6000:]}"
                break
            phase = phases[text]
            self.tally.struck[way, phase] += 1
            assert "Traceback" not in output, f"{way}, {phase}: {output[-6000:]}"
            if phase not in _TIMERS_COME_WITH and not self._is_behind("Verify what was recovered", output):
                assert not rig.timers_are_on(), f"{way}, {phase}: the timers are on before the end"
            left = left[left.index(text) + 1 :]
            ticker.tick(f"{phase}, {len(left)} to go", 1 - len(left) / len(phases))
        self._ends_equal(way)
        self.tally.seconds[way] = time.monotonic() - began

    @staticmethod
    def _is_behind(operation: str, output: str) -> bool:
        """Whether the deploy had gone beyond this operation before it was noticed or stopped."""
        _, came, after = output.partition(operation)
        return bool(came) and "Starting operation" in after

    def drive_fails_now_and_then(self) -> None:
        """Faults that pass, all through one recovery."""
        rig, drive = self._rig, self._rig.lab.cloud.drive
        known = {fault.name: fault.rule for fault in FAULTS}
        for name, request, times in _NOW_AND_THEN:
            rule = dict(known[name])
            drive.fault(rule.pop("kind"), times=times, skip=rig.random.randrange(2),
                        match={"operation": request}, **rule)  # fmt: skip
        self._ends_equal("Drive fails now and then", watched=True)

    def drive_is_gone(self) -> None:
        """Drive refuses for good: the recovery ends with the reason, nothing is begun; once Drive is back,
        the same command succeeds.
        """
        rig, drive = self._rig, self._rig.lab.cloud.drive
        drive.fault("invalid-grant", times=None)
        done = rig.recover()
        assert done.code == 1, done.output[-4000:]
        sentences = [line for line in done.output.splitlines() if "no longer accepts the access" in line]
        assert sentences, done.output[-4000:]
        self.tally.said = sentences[-1].partition("] ")[2].strip()
        assert "Traceback" not in done.output
        assert not rig.timers_are_on()
        assert not rig.app_is_there()
        drive.clear_faults()
        self._ends_equal("Drive was gone and came back")

    def _ends_equal(self, after: str, watched: bool = False) -> None:
        rig = self._rig
        done = rig.recover()
        if watched:
            drive = rig.lab.cloud.drive
            self.tally.drive.update(
                {rule["kind"]: rule["struck"] for rule in drive.faults() if rule["struck"]}
            )
            drive.clear_faults()
        assert done.code == 0 or rig.timers_are_on(), f"{after}: {done.output[-6000:]}\n{rig.journal()}"
        self._is_equal(after)

    def _is_equal(self, after: str) -> None:
        found = self._rig.differences()
        assert not found, f"{after}: {found[:20]}"
        self.tally.compared += 1


def _dies(process: subprocess.Popen[str]) -> bool:
    kill(process)
    return True


def run_series(rig: RecoveryRig) -> Recoveries:
    """Every way of interrupting. Two new Pis; from then on the second one, without anything of ours on it but
    Debian's packages and Docker's images.
    """
    series = RecoverySeries(rig)
    series.operator_killed()
    rig.reflash()
    series.power_cut()
    for chain in (series.agent_killed, series.drive_fails_now_and_then, series.drive_is_gone):
        rig.wipe()
        chain()
    return series.tally
