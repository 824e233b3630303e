"""Restores while Drive and the network misbehave: onto a Pi on which people work, and on a new one. A real
agent, as a process of its own, with the patience that it has on a Pi; Drive is the only store.

After each: the backup is what is live, or the restore failed with one sentence and what was live is
untouched. Run again without the fault, it ends equal.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loomio_backup.config import DriveStore
from loomio_backup.progress import Ticker
from tests.lab.agent_site import Site, site
from tests.lab.drive import DriveEmulator, LabDrive

from .restore_rig import State
from .rig import forget_what_was_replaced
from .store_faults import FAULTS, Fault, strikes_at
from .store_series import Strike

LIVE, FRESH = "onto live data", "on a new Pi"
SCENARIOS = (LIVE, FRESH)
DONE, FAILED = "equal to the backup", "one sentence, live as before"
_RESTORE = ("restore", "--unattended", "--store", "drive", "--backup")
_EVERYWHERE = "*"
_LONG = 10_000  # strikes that no patience outlasts
_GONE = ("invalid-grant", "drop-before-commit", "html", "status 503 backendError")
"""How Drive can be gone for good: its token is dead, nothing answers, something else does, it is down."""


@dataclass
class RestoresResult:
    """How the restores ended, per scenario; how often each kind of fault struck; what was said at the end."""

    runs: int = 0
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    idle: int = 0
    said: dict[str, str] = field(default_factory=dict)
    longest: float = 0.0


@dataclass
class DriveRestores:
    """A Pi that backed up to Drive and on which people went on, and a new one with its keys."""

    pi: Site
    fresh: Site
    emulator: DriveEmulator
    chance: random.Random
    backup: str
    old: State
    live: State
    nothing: State
    result: RestoresResult = field(default_factory=RestoresResult)
    _asked: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def try_one(self, scenario: str, fault: Fault) -> None:
        """One restore with the fault at one of the requests that it makes, chosen by chance."""
        request, skip = self.chance.choice(
            [(what, skip) for what, skip in self._requests(scenario) if strikes_at(fault, what)]
        )
        final = fault.final and (request != "token" or fault.rule["kind"] == "invalid-grant")
        self.under(scenario, Strike(fault, request, skip, None if final else self.chance.choice((1, 2))))

    def gone(self, scenario: str, fault: Fault) -> None:
        """Drive goes for good, at a random moment of the restore."""
        if fault.rule["kind"] == "invalid-grant":
            strike = Strike(fault, "token", 0, _LONG)
        else:
            skip = self.chance.randrange(len(self._requests(FRESH)))
            strike = Strike(fault, _EVERYWHERE, skip, _LONG)
        said = self.under(scenario, strike)
        assert said is not None, "it ended well without ever reaching Drive"
        self.result.said[f"{scenario}: {fault.name}"] = said.removeprefix("loomio-backup: ")

    def under(self, scenario: str, strike: Strike) -> str | None:
        """Run the restore under one rule; the sentence with which it failed."""
        try:
            return self._tried(scenario, strike)
        except Exception as error:
            raise AssertionError(f"{scenario}: {strike}: {error}") from error

    def _tried(self, scenario: str, strike: Strike) -> str | None:
        pi, before = self._begin(scenario)
        self.emulator.faults.add(strike.rule())
        began = time.monotonic()
        outcome = pi.run(*self._command(scenario))
        self.result.longest = max(self.result.longest, time.monotonic() - began)
        struck = [rule for rule in self.emulator.faults.summary() if rule["struck"]]
        self.emulator.faults.clear()
        self.emulator.tree.show_hidden()
        said = None
        assert outcome.code in (0, 1), outcome
        if outcome.code:
            [said] = outcome.err.strip().splitlines()
            assert said.startswith("loomio-backup: "), outcome.err
            assert state_of(pi) == before, f"it failed, and what was live has changed: {said}"
            pi.must(*self._command(scenario))
        assert state_of(pi) == self.old, f"restored, it is not the backup\n{outcome}"
        assert "upload_id=" not in outcome.out + outcome.err
        self._end(scenario)
        self.result.runs += 1
        self.result.ends[scenario, FAILED if said else DONE] += 1
        self.result.idle += not struck
        self.result.struck.update(rule["kind"] for rule in struck)
        return said

    def _begin(self, scenario: str) -> tuple[Site, State]:
        return (self.pi, self.live) if scenario == LIVE else (self.fresh, self.nothing)

    def _command(self, scenario: str) -> tuple[str, ...]:
        more = ("--replace-live-data",) if scenario == LIVE else ()
        return (*_RESTORE, self.backup, "--leave-stopped", *more)

    def _end(self, scenario: str) -> None:
        """As it was before the restore."""
        if scenario == LIVE:
            self.pi.must("undo", "--unattended", "--leave-stopped")
            self.pi.must("undo", "--forget", "--unattended")
            assert state_of(self.pi) == self.live, "undone, it is not what was live"
        else:
            empty(self.fresh)

    def _requests(self, scenario: str) -> list[tuple[str, int]]:
        """What a restore asks Drive for when nothing goes wrong."""
        if scenario not in self._asked:
            lab = LabDrive(self.emulator.url)
            pi, _ = self._begin(scenario)
            lab.clear_log()
            pi.must(*self._command(scenario))
            asked = Counter(entry["operation"] for entry in lab.log())
            assert state_of(pi) == self.old
            self._end(scenario)
            self._asked[scenario] = [(what, skip) for what, count in asked.items() for skip in range(count)]
        return self._asked[scenario]


def state_of(pi: Site) -> State:
    """Everything that is live on a Pi."""
    return pi.database_text(), pi.files_text()


def empty(pi: Site) -> None:
    """A new Pi: an empty database, no files, an agent that knows nothing."""
    pi.lose_database()
    forget_what_was_replaced(pi)
    for root in (pi.storage, pi.uploads):
        shutil.rmtree(root)
        root.mkdir(mode=0o755)
        os.utime(root, ns=(0, 0))
    shutil.rmtree(pi.root / "state", ignore_errors=True)


@contextmanager
def drive_restores(root: Path, seed: int, both: bool = True) -> Iterator[DriveRestores]:
    """A backup in Drive since which people worked, and a new Pi (where `both` are wanted)."""
    with ExitStack() as stack:
        emulator = stack.enter_context(DriveEmulator(root / "drive"))
        lab = LabDrive(emulator.url)
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri)
        options = {"drive": drive, "drive_secret": json.dumps(lab.register_user())}
        pi = stack.enter_context(site(root / "pi", f"faults-drive-{seed}", **options))
        fresh = pi
        if both:
            fresh = stack.enter_context(site(root / "fresh", f"faults-drive2-{seed}", keys=pi, **options))
        chance = random.Random(seed)
        pi.fill()
        # More than one pack's worth of requests would only repeat them; more than one block is needed.
        (pi.uploads / "large").write_bytes(chance.randbytes(3_000_000))
        pi.must("run", "--pin")
        name = json.loads(pi.must("list", "--json"))[0]["name"]
        old = state_of(pi)
        pi.sql("DELETE FROM users WHERE id % 3 = 0; CREATE TABLE later AS SELECT 1 AS id")
        (pi.uploads / "later").write_bytes(chance.randbytes(10_000))
        if both:
            empty(fresh)
        yield DriveRestores(pi, fresh, emulator, chance, name, old, state_of(pi), state_of(fresh))


def run_series(made: DriveRestores, seed: int = 0) -> RestoresResult:
    """Every fault that can strike a restore, the scenarios by turns; then Drive gone for good, in each way
    and each scenario.
    """
    chance = random.Random(seed)
    faults = [
        fault
        for fault in FAULTS
        if any(strikes_at(fault, request) for request in ("token", "files.list", "download"))
    ]
    chance.shuffle(faults)
    work = [(SCENARIOS[number % 2], fault) for number, fault in enumerate(faults)]
    gone = [(scenario, fault) for scenario in SCENARIOS for fault in FAULTS if fault.name in _GONE]
    ticker, count = Ticker("restores against Drive's faults"), len(work) + len(gone)
    for number, (scenario, fault) in enumerate([*work, *gone]):
        ticker.tick(f"{number} of {count}", number / count)
        if number < len(work):
            made.try_one(scenario, fault)
        else:
            made.gone(scenario, fault)
    return made.result


def run_sample(made: DriveRestores) -> RestoresResult:
    """Of the same: a connection that breaks off in a download, and a token that is dead."""
    known = {fault.name: fault for fault in FAULTS}
    made.under(LIVE, Strike(known["drop-before-commit"], "download", 1, 1))
    made.gone(LIVE, known["invalid-grant"])
    return made.result
