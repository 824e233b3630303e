"""A Pi loses its power in front of every kind of durable step of a restore onto live data, and at random
moments.

While it is stopped there, what was live is looked for; then the power goes. The units that come up at boot
settle it, nobody has to be there: all of the old or all of the new, and the app on it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loomio_backup.progress import Ticker

from .pi_rig import Hold, PiRig

UNDO_EVERY = 4


@dataclass
class Reboots:
    """Power cuts by phase and by what was about to happen; what settling led to."""

    phases: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    app_up: int = 0
    again: int = 0
    undone: int = 0
    longest: float = 0.0


def telling(steps: Sequence[dict[str, str]], chance: random.Random) -> list[int]:
    """The numbers of the steps to stop in front of, from 1. Not those that only take away what nobody reads
    again; and of several of the same kind in a row (the children of a directory, moved one by one) the first
    or another one.
    """
    rows: list[list[int]] = []
    before = None
    for number, step in enumerate(steps, start=1):
        kind = (step["kind"], step["phase"])
        if step["kind"] == "delete" and step["detail"].endswith((".part", ".pgpass")):
            continue
        if kind == before:
            rows[-1].append(number)
        else:
            rows.append([number])
            before = kind
    return [row[0] if len(row) == 1 else chance.choice([row[0], chance.choice(row[1:])]) for row in rows]


class RebootSeries:
    """One Pi, with one of two backups on it."""

    def __init__(self, rig: PiRig, live: str) -> None:
        self._rig, self.live, self.tally = rig, live, Reboots()

    def at_steps(self) -> Reboots:
        """In front of every telling step."""
        rig = self._rig
        wanted = rig.other(self.live)
        steps = rig.steps(wanted)
        self.live = wanted
        assert rig.look().state == rig.states[wanted].state, "restored, it is not the backup"
        rig.forget()
        numbers = telling(steps, rig.random)
        ticker = Ticker("power cuts in front of a step")
        for count, number in enumerate(numbers, start=1):
            self._one(f"in front of {steps[number - 1]}", step=number)
            ticker.tick(f"{count} of {len(numbers)}", count / len(numbers))
        return self.tally

    def in_phase(self, phase: str, step: int) -> Reboots:
        """In front of one durable step of a phase."""
        assert self._one(f"in {phase}, step {step}", of=[phase], step=step), "the step never came"
        return self.tally

    def at_moments(self, count: int) -> Reboots:
        """At so many random moments of a restore."""
        rig = self._rig
        began = time.monotonic()
        rig.restore(rig.other(self.live))
        usual = time.monotonic() - began
        self.live = rig.other(self.live)
        rig.forget()
        ticker, cuts = Ticker("power cuts at random"), 0
        while cuts < count:
            seconds = rig.random.uniform(0, usual)
            cuts += self._one(f"after {seconds:.2f} s", seconds=seconds)
            ticker.tick(f"{cuts} of {count}", cuts / count)
        return self.tally

    def _one(self, where: str, **plan: Any) -> bool:
        try:
            return self._cut(**plan)
        except Exception as error:
            raise AssertionError(f"power cut {where}: {error}\n{self._rig.said()}") from error

    def _cut(self, **plan: Any) -> bool:
        rig, tally = self._rig, self.tally
        old, wanted = self.live, rig.other(self.live)
        hold = rig.held(wanted, **plan)
        if hold is None:
            self._arrived(wanted)
            return False
        tally.phases[hold.phase] += 1
        if "step" in plan:
            tally.kinds[hold.steps[-1]["kind"]] += 1
        self._nothing_is_lost(hold, old, wanted)
        began = time.monotonic()
        seen = rig.cut_power()
        tally.longest = max(tally.longest, time.monotonic() - began)
        if "app" not in hold.seen.running:
            early = [line for line in seen if line.startswith("app switching")]
            assert not early, f"the app was started in the middle of the switch: {early}"
        self._settled(old, wanted)
        return True

    def _nothing_is_lost(self, hold: Hold, old: str, wanted: str) -> None:
        rig, seen = self._rig, hold.seen
        before = rig.states[old]
        assert before.state[0] in seen.databases.values(), "the database that was live is nowhere"
        lost = before.live - seen.live - seen.kept
        assert not lost, f"files that were live are nowhere: {sorted(name for name, _ in lost)}"
        if "app" in seen.running:
            self.tally.app_up += 1
            # Once the switch is behind it, the app comes up on the new.
            done = seen.journal.get("state") == "done"
            whole = rig.states[wanted if done and seen.journal["backup"] == wanted else old].state
            assert seen.state == whole, "the app runs on a database and files that do not match"

    def _settled(self, old: str, wanted: str) -> None:
        rig, tally = self._rig, self.tally
        now = rig.look()
        assert not now.marker
        assert now.journal.get("state") in ("done", "left"), now.journal
        assert {"app", "worker", "db"} <= set(now.running), f"only {now.running} run"
        if now.state == rig.states[old].state:
            tally.settled["the old"] += 1
            rig.restore(wanted)
            tally.again += 1
            assert rig.look().state == rig.states[wanted].state, "restored again, it is not the backup"
        else:
            tally.settled["the new"] += 1
            assert now.state == rig.states[wanted].state, "settled, it is neither the old nor the new"
        self._arrived(wanted)

    def _arrived(self, wanted: str) -> None:
        """The other backup is live now; now and then it is undone. What is kept aside goes."""
        rig, before = self._rig, self.live
        self.live = wanted
        if self.tally.phases.total() % UNDO_EVERY == 0:
            rig.pi.run("loomio-backup", "undo", "--unattended")
            self.tally.undone += 1
            self.live = before
            assert rig.look().state == rig.states[before].state, "undone, it is not what it was"
        rig.forget()
        assert len(rig.look().databases) == 1, "something is left beside the live database"
