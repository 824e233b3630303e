"""Whole backups while Drive and the network misbehave: a real agent, as a process of its own, with the
patience that it has on a Pi.

After each run, whatever became of it: every backup that Drive shows as one is there with every object, byte
for byte; the older ones are as they were; a run that failed says so in one sentence. The next run, without
faults, is complete in every store, and leaves nothing that no backup needs.

Waiting is real here. So a fault that passes strikes once or twice, and only a few strike until all patience
(about two minutes) is used up.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from loomio_backup.catalogue.manifest import SUFFIX
from loomio_backup.progress import Ticker
from tests.lab.drive import LabDrive

from .rig import Rig
from .store_faults import FAULTS, Fault, strikes_at
from .store_series import Strike

SCENARIOS = ("local store and Drive", "Drive alone")
COMPLETE, FAILED = "complete", "clearly failed"
# A run fetches nothing that the catalogue knows.
_OF_A_RUN = ("token", "files.list", "files.get", "files.delete", "upload.start", "upload.chunk")
_LONG = 1000  # strikes that no patience outlasts
_UNTIL_PATIENCE_ENDS = tuple(
    (SCENARIOS[1], fault, _LONG)
    for fault in FAULTS
    if fault.name in ("drop-after-commit", "html", "status 503 backendError")
)


@dataclass
class RunsResult:
    """How the runs ended, per scenario; how often each kind of fault struck; runs at which none did."""

    runs: int = 0
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    idle: int = 0
    restored: int = 0
    seconds: float = 0.0


class Runs:
    """One Pi whose runs meet faults."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self._rig, self._chance, self._faults = rig, chance, rig.emulator.faults
        self._stores = rig.pi.config.stores
        self.pinned = rig.names("drive")
        self._first = self._truth()
        self._asked: dict[str, list[tuple[str, int]]] = {}
        self.result = RunsResult()

    def try_one(self, scenario: str, fault: Fault, times: int | None = None) -> None:
        """One run with the fault at one of the requests that a run makes, chosen by chance."""
        self.configure(scenario)
        request, skip = self._chance.choice(
            [(what, skip) for what, skip in self._requests(scenario) if strikes_at(fault, what)]
        )
        # The token endpoint has words of its own: a refusal in the API's words is waited for.
        final = fault.final and (request != "token" or fault.rule["kind"] == "invalid-grant")
        if times is None and not final:
            times = self._chance.choice((1, 2))
        strike = Strike(fault, request, skip, times)
        try:
            self._run(scenario, strike)
        except Exception as error:
            raise AssertionError(f"{scenario}: {strike}: {error}") from error

    def _run(self, scenario: str, strike: Strike) -> None:
        rig, before = self._rig, set(self._rig.names("drive"))
        self._change()
        self._faults.add(strike.rule())
        outcome = rig.pi.run("run")
        struck = [rule for rule in self._faults.summary() if rule["struck"]]
        self._faults.clear()
        rig.emulator.tree.show_hidden()
        made = set(rig.names("drive")) - before
        assert outcome.code in (0, 1), outcome
        if outcome.code:
            last = outcome.err.strip().splitlines()
            assert len(last) == 1, outcome.err
            assert last[0].startswith("loomio-backup: "), outcome.err
        else:
            assert len(made) == 1, f"it says that it is complete, but Drive shows {made}"
        self._all_complete()
        assert "upload_id=" not in outcome.out + outcome.err
        good = rig.pi.run("run")
        assert good.code == 0, f"the run after it: {good.err}{good.out}"
        self._all_complete()
        unneeded = self._unneeded()
        assert not unneeded, f"nothing needs these, two runs later: {unneeded}\n{outcome}\n{good}"
        self.result.runs += 1
        self.result.ends[scenario, FAILED if outcome.code else COMPLETE] += 1
        self.result.idle += not struck
        self.result.struck.update(rule["kind"] for rule in struck)

    def _change(self) -> None:
        self._rig.change()
        # More than one chunk of an upload.
        (self._rig.pi.uploads / "large").write_bytes(self._chance.randbytes(4_600_000))

    def configure(self, scenario: str) -> None:
        """Use the stores of a scenario from now on."""
        stores = self._stores if scenario == SCENARIOS[0] else self._stores.model_copy(update={"local": None})
        self._rig.pi.write_config(self._rig.pi.config.model_copy(update={"stores": stores}))

    def _requests(self, scenario: str) -> list[tuple[str, int]]:
        """What a run asks Drive for when nothing goes wrong."""
        if scenario not in self._asked:
            lab = LabDrive(self._rig.emulator.url)
            self._rig.pi.must("run")
            self._change()
            lab.clear_log()
            self._rig.pi.must("run")
            asked = Counter(entry["operation"] for entry in lab.log())
            self._asked[scenario] = [(what, skip) for what, count in asked.items() for skip in range(count)]
        return self._asked[scenario]

    def _truth(self) -> dict[str, list[str]]:
        """SHA-256 of every file in Drive, by name, seen from behind."""
        tree, found = self._rig.emulator.tree, dict[str, list[str]]()
        with tree.lock:
            for record in tree.files.values():
                if record.content and not tree.in_trash(record):
                    found.setdefault(record.name, []).append(record.content.sha256)
        return found

    def _all_complete(self) -> None:
        """Every backup in Drive has all that it needs; the pinned ones are as they were."""
        truth = self._truth()
        manifests = self._rig.manifests("drive")
        assert {manifest.name for manifest in manifests} >= set(self.pinned), "a pinned backup is gone"
        for manifest in manifests:
            for entry in manifest.objects:
                assert entry.stored_sha256 in truth.get(entry.name, []), (
                    f"{manifest.name} is shown, but {entry.name} is "
                    f"{'bad' if entry.name in truth else 'missing'}"
                )
        for name, hashes in self._first.items():
            if name.startswith(tuple(self.pinned)):
                assert truth.get(name) == hashes, f"{name} was touched"

    def _unneeded(self) -> list[str]:
        """What lies in Drive twice, or without any backup that needs it."""
        needed = {"RECOVERY.md", *(f"{name}{SUFFIX}" for name in self._rig.names("drive"))}
        for manifest in self._rig.manifests("drive"):
            needed |= {f"{manifest.name}.pin.age", *(entry.name for entry in manifest.objects)}
        truth = self._truth()
        return sorted(
            name
            for name, hashes in truth.items()
            if len(hashes) > 1 or (name not in needed and not name.startswith("keyring_"))
        )

    def restore(self, name: str) -> None:
        """A backup comes back from Drive as it was."""
        self._rig.restores(name, "drive")
        self.result.restored += 1


def run_series(rig: Rig, sample: int | None = None, count: int = 80, seed: int = 0) -> RunsResult:
    """Every fault that can strike a run, in each scenario, and at random up to `count` runs; then three that
    last until patience ends. With `sample`, only so many runs.
    """
    chance, began = random.Random(seed), time.monotonic()
    runs = Runs(rig, chance)
    faults = [fault for fault in FAULTS if any(strikes_at(fault, request) for request in _OF_A_RUN)]
    work = [(scenario, fault, None) for scenario in SCENARIOS for fault in faults]
    work += [
        (chance.choice(SCENARIOS), chance.choice(faults), None) for _ in range(max(0, count - len(work)))
    ]
    chance.shuffle(work)
    if sample is not None:
        work = [(SCENARIOS[1], fault, None) for _, fault, _ in work[:sample]]
    whole = [*work, *(_UNTIL_PATIENCE_ENDS if sample is None else ())]
    ticker = Ticker("runs against Drive's faults")
    for number, (scenario, fault, times) in enumerate(whole):
        ticker.tick(f"{number} of {len(whole)}", number / len(whole))
        runs.try_one(scenario, fault, times)
    runs.configure(SCENARIOS[0])
    runs.restore(rig.backup())
    if sample is None:
        runs.restore(runs.pinned[-1])
    runs.result.seconds = time.monotonic() - began
    return runs.result
