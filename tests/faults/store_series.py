"""Every fault of Drive and the network, at every request of everything that is asked of a store.

What must hold each time: the operation ends complete and right, or with a StoreError in one sentence; nothing
bad lies under the object's name; whatever was there before is untouched; and done once more without the
fault, it succeeds.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreAppendOnly, StoreDamaged, StoreError
from loomio_backup.progress import Ticker
from loomio_backup.stores.base import StoredObject
from loomio_backup.stores.drive import DriveFolder
from loomio_backup.stores.drive_upload import CHUNK
from loomio_backup.stores.patience import Backoff
from loomio_backup.stores.probe import NAME as PROBE
from tests.lab.drive import DriveEmulator, LabDrive
from tests.lab.drive.tree import FileRecord, new_id
from tests.unit.stores_bench import FileMemory, Sample, sample

from .store_faults import FAULTS, STRIKES, Fault, strikes_at

# Patience as a Pi has it, in a fraction of the time; Retry-After is honoured up to a hundredth of a second.
BRIEF = Backoff(first=0.002, longest=0.01, tries=5, longest_asked=0.01)
SMALL, LARGE = 1000, CHUNK + 300_000
_LONGEST = 30.0  # seconds that one operation may take, however it ends
DONE = "complete and right"
MODES = ("user", "organizer", "contributor")
_OLDER = ("older-1", "older-2")


@dataclass(frozen=True)
class Case:
    """One thing to try: a mode of access, an operation, and faults, each at the n-th request of a kind."""

    mode: str
    operation: str
    strikes: tuple[Strike, ...]

    def __str__(self) -> str:
        return f"{self.mode}, {self.operation}: " + "; ".join(map(str, self.strikes))


@dataclass(frozen=True)
class Strike:
    """A fault at the requests number `skip` + 1 and following (`times`; None: all) of the kind `request`."""

    fault: Fault
    request: str
    skip: int
    times: int | None

    def __str__(self) -> str:
        often = "for ever" if self.times is None else f"{self.times} ×"
        return f"{self.fault.name} at {self.request} #{self.skip + 1}, {often}"

    def rule(self) -> dict[str, Any]:
        """As the emulator wants it."""
        return {
            **self.fault.rule,
            "match": {"operation": self.request},
            "skip": self.skip,
            "times": self.times,
        }


@dataclass
class Result:
    """How the cases ended: per operation, and how often each fault really struck."""

    cases: int = 0
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    idle: int = 0
    seconds: float = 0.0

    def add(self, other: Result) -> None:
        """Count another's cases as well."""
        self.cases += other.cases
        self.idle += other.idle
        self.ends.update(other.ends)
        self.struck.update(other.struck)


class World:
    """An account with two older objects and a RECOVERY.md; `reset` makes it so again."""

    def __init__(self, series: Series, mode: str) -> None:
        self.emulator, self.samples = series.emulator, series.samples
        self.folder = series.folder / mode
        self.folder.mkdir()
        more: dict[str, Any] = {}
        if mode == "user":
            self.secret = series.lab.register_user()
            self._scope = "group@example.org"
        else:
            self.secret = series.lab.register_service_account(f"{mode}@project.iam.gserviceaccount.com")
            role = {"organizer": "organizer", "contributor": "writer"}[mode]
            self._scope = series.lab.register_shared_drive(mode, {self.secret["client_email"]: role})
            more = {"shared_drive_id": self._scope, "append_only": mode == "contributor"}
        self.settings = DriveStore(api_root=series.emulator.url, token_uri=series.lab.token_uri, **more)
        self.memory = FileMemory(self.folder / "memory")
        self.stored: StoredObject | None = None
        store = self.store()
        for name in (*_OLDER, "RECOVERY.md"):
            self.put(store, name, self.samples["older"])
        self.reset()

    def reset(self) -> None:
        """Nothing but what was there at first, whatever was done."""
        tree = self.emulator.tree
        older = self.samples["older"].digests
        with tree.lock:
            for record in self._files():
                first = record.name in (*_OLDER, "RECOVERY.md")
                if not first or record.content is None or record.content.sha256 != older.stored_sha256:
                    tree.remove(record)
            tree.ghosts.clear()
        if "RECOVERY.md" not in self.truth():
            self.put(self.store(), "RECOVERY.md", self.samples["older"])
        assert self.truth() == {name: [older.stored_sha256] for name in (*_OLDER, "RECOVERY.md")}
        for path in self.folder.iterdir():
            path.unlink()
        self.object_id = new_id()
        tree.reserve([self.object_id])

    def store(self) -> DriveFolder:
        """As a new process would open it."""
        return DriveFolder(self.settings, self.secret, BRIEF)

    def put(self, store: DriveFolder, name: str, made: Sample, **more: Any) -> StoredObject:
        """Store a sample."""
        return store.put(name, made.path, made.digests, **more)

    def truth(self) -> dict[str, list[str]]:
        """What really is there, seen from behind: SHA-256 of every file, by name, without the trash."""
        found: dict[str, list[str]] = {}
        with self.emulator.tree.lock:
            for record in self._files():
                if record.content and not self.emulator.tree.in_trash(record):
                    found.setdefault(record.name, []).append(record.content.sha256)
        return found

    def _files(self) -> list[FileRecord]:
        files = self.emulator.tree.files.values()
        return [one for one in files if one.content and self._scope in (one.owner, one.drive_id)]


@dataclass(frozen=True)
class Operation:
    """Something that is asked of a store. `prepare` brings the world to where it begins; `act` does it;
    `judge` raises AssertionError unless what is there afterwards is right, given the error that `act` ended
    with (or None) and what it returned.
    """

    prepare: Callable[[World], object]
    act: Callable[[World, DriveFolder], object]
    judge: Callable[[World, StoreError | None, Any], None]


def _nothing(world: World) -> None:
    """Nothing to prepare."""


def _there(size: str) -> Callable[[World], object]:
    def prepare(world: World) -> None:
        world.stored = world.put(world.store(), "object", world.samples[size])

    return prepare


def _putting(size: str) -> Operation:
    def act(world: World, store: DriveFolder) -> StoredObject:
        made = world.samples[size]
        return world.put(store, "object", made, object_id=world.object_id, memory=world.memory)

    def judge(world: World, error: StoreError | None, stored: Any) -> None:
        right, found = world.samples[size].digests.stored_sha256, world.truth().get("object", [])
        # A damaged upload stays only where nothing may be deleted; then the error says so.
        told = isinstance(error, StoreDamaged) and "Delete that file" in str(error)
        assert set(found) <= {right} or (told and world.settings.append_only), "it is there, and bad"
        assert len(found) <= 1, f"it is there {len(found)} times"
        assert error or (found and stored.matches(world.samples[size].digests)), "it is not there"

    return Operation(_nothing, act, judge)


def _interrupted(world: World) -> None:
    """An upload that a process left after its first chunk."""
    rule = {"kind": "drop-before-commit", "times": None, "skip": 1, "match": {"operation": "upload.chunk"}}
    world.emulator.faults.add(rule)
    try:
        _putting("large").act(world, world.store())
    except StoreError:
        assert world.memory.recall() is not None
    else:
        raise AssertionError("the upload was to be interrupted")
    finally:
        world.emulator.faults.clear()


def _get(world: World, store: DriveFolder) -> bytes:
    target = world.folder / "fetched"
    target.unlink(missing_ok=True)
    store.get("object", target)
    return target.read_bytes()


def _judge_get(world: World, error: StoreError | None, content: Any) -> None:
    assert error or content == world.samples["large"].content, "other bytes were fetched"
    left = sorted(path.name for path in world.folder.glob("*fetched*"))
    assert left == ([] if error else ["fetched"]), f"left behind: {left}"


def _judge_list(world: World, error: StoreError | None, names: Any) -> None:
    if error is None:
        # Lists may lag, but never show a part for the whole: what is neither new nor deleted is in them.
        assert set(names) - {"object"} == {*_OLDER, "RECOVERY.md"}, f"listed: {names}"


def _judge_delete(world: World, error: StoreError | None, _: Any) -> None:
    right, found = world.samples["small"].digests.stored_sha256, world.truth().get("object", [])
    assert found in ([], [right])
    if world.settings.append_only:
        assert found == [right], "it is not ours to delete"
    else:
        assert error or not found, "it is still there"


def _delete(world: World, store: DriveFolder) -> None:
    assert world.stored is not None
    try:
        store.delete(world.stored)
    except StoreAppendOnly:
        assert world.settings.append_only


def _replace(world: World, store: DriveFolder) -> object:
    made = world.samples["small"]
    return store.replace("RECOVERY.md", made.path, made.digests)


def _judge_replace(world: World, error: StoreError | None, _: Any) -> None:
    old, new = (world.samples[size].digests.stored_sha256 for size in ("older", "small"))
    found = world.truth()["RECOVERY.md"]
    # What takes the place of something may arrive damaged; Drive keeps what was there before.
    assert set(found) <= {old, new} or isinstance(error, StoreDamaged), "it is neither old nor new"
    assert error or new in found


def _judge_probe(world: World, error: StoreError | None, _: Any) -> None:
    left = PROBE in world.truth()
    assert error or left == world.settings.append_only, "the probe was left behind, or is not there"


OPERATIONS: dict[str, Operation] = {
    "put, small": _putting("small"),
    "put, large": _putting("large"),
    "put, going on": replace(_putting("large"), prepare=_interrupted),
    "get": Operation(_there("large"), _get, _judge_get),
    "list": Operation(_there("small"), lambda _, store: [one.name for one in store.list()], _judge_list),
    "delete": Operation(_there("small"), _delete, _judge_delete),
    "replace": Operation(_nothing, _replace, _judge_replace),
    "probe": Operation(_nothing, lambda _, store: store.probe(), _judge_probe),
    "verify_access": Operation(_nothing, lambda _, store: store.verify_access(), lambda *_: None),
    "space and now": Operation(_nothing, lambda _, store: (store.space(), store.now()), lambda *_: None),
}


class Series:
    """The cases, on one emulator."""

    def __init__(self, folder: Path, emulator: DriveEmulator) -> None:
        self.folder, self.emulator, self.lab = folder, emulator, LabDrive(emulator.url)
        self.lab.post("state", {"page_limit": 3})
        self.samples = {
            "small": sample(folder, SMALL, 1),
            "large": sample(folder, LARGE, 2),
            "older": sample(folder, 100, 3),
        }
        self._worlds: dict[str, World] = {}
        self._asked: dict[tuple[str, str], list[tuple[str, int]]] = {}

    def singles(self, mode: str, operation: str) -> Iterator[Case]:
        """Every fault at every request of the operation that it can strike at. Other modes than `user` differ
        in what is allowed, not in how patient they are: there each fault strikes for ever.
        """
        for request, skip in self._requests(mode, operation):
            if request == "token" and operation != "list":
                continue  # it is the same everywhere, and Google's library waits for seconds there
            for fault in FAULTS:
                if not strikes_at(fault, request):
                    continue
                for times in STRIKES if mode == "user" and not fault.final else STRIKES[-1:]:
                    yield Case(mode, operation, (Strike(fault, request, skip, times),))

    def several(self, mode: str, operation: str, chance: random.Random, count: int) -> Iterator[Case]:
        """Several faults at once, at random."""
        asked = self._requests(mode, operation)
        for _ in range(count if asked else 0):  # nothing is asked where it is refused at once
            strikes = []
            for _ in range(chance.randint(2, 4)):
                request, skip = chance.choice(asked)
                fault = chance.choice([fault for fault in FAULTS if strikes_at(fault, request)])
                strikes.append(Strike(fault, request, skip, chance.choice((1, 1, 2, 3))))
            yield Case(mode, operation, tuple(strikes))

    def _world(self, mode: str) -> World:
        if mode not in self._worlds:
            self._worlds[mode] = World(self, mode)
        self._worlds[mode].reset()
        return self._worlds[mode]

    def _requests(self, mode: str, operation: str) -> list[tuple[str, int]]:
        """What the operation asks for when nothing goes wrong: each kind of request, and which of them."""
        if (mode, operation) not in self._asked:
            world = self._world(mode)
            OPERATIONS[operation].prepare(world)
            self.lab.clear_log()
            OPERATIONS[operation].act(world, world.store())
            asked = Counter(entry["operation"] for entry in self.lab.log())
            self._asked[mode, operation] = [
                (request, skip) for request, count in sorted(asked.items()) for skip in range(count)
            ]
        return self._asked[mode, operation]

    def run(self, case: Case, result: Result) -> None:
        """Try one case; AssertionError when something does not hold."""
        world, operation, faults = self._world(case.mode), OPERATIONS[case.operation], self.emulator.faults
        operation.prepare(world)
        for strike in case.strikes:
            faults.add(strike.rule())
        outcome, error = None, None
        began = time.monotonic()
        try:
            outcome = operation.act(world, world.store())
        except StoreError as raised:
            error = raised
            _check_sentence(str(error), world)
        finally:
            took = time.monotonic() - began
            struck = [rule for rule in faults.summary() if rule["struck"]]
            faults.clear()
            self.emulator.tree.show_hidden()
        assert took < _LONGEST, f"it took {took:.0f} s"
        operation.judge(world, error, outcome)
        _untouched(world)
        # Once more, as the next run would.
        operation.judge(world, None, operation.act(world, world.store()))
        _untouched(world)
        result.cases += 1
        result.ends[case.operation, type(error).__name__ if error else DONE] += 1
        result.idle += not struck
        for rule in struck:
            result.struck[rule["kind"]] += 1


def _untouched(world: World) -> None:
    now, older = world.truth(), world.samples["older"].digests.stored_sha256
    for name in _OLDER:
        assert now.get(name) == [older], f"{name} was touched"


def _check_sentence(text: str, world: World) -> None:
    assert "\n" not in text
    assert "Traceback" not in text
    hidden = [world.secret.get(key, "") for key in ("refresh_token", "client_secret", "private_key")]
    for secret in ("upload_id=", "ya29.", *filter(None, hidden)):
        assert secret not in text, f"a secret was told: {text}"


def run_one(folder: Path, mode: str, operation: str, sample: int | None, several: int, seed: int) -> Result:
    """The cases of one operation in one mode, or `sample` of them."""
    result, chance = Result(), random.Random(f"{seed} {mode} {operation}")
    folder.mkdir()
    with DriveEmulator(folder / "drive") as emulator:
        series = Series(folder, emulator)
        cases = [*series.singles(mode, operation), *series.several(mode, operation, chance, several)]
        for case in cases if sample is None else chance.sample(cases, min(sample, len(cases))):
            try:
                series.run(case, result)
            except Exception as error:
                raise AssertionError(f"{case}: {error!r}") from error
    return result


def run_series(folder: Path, sample: int | None = None, several: int = 50, seed: int = 0) -> Result:
    """All single faults, and for each operation in each mode `several` combinations, on all processors; with
    `sample`, only that many cases of each of three operations.
    """
    whole, began = Result(), time.monotonic()
    work = list(itertools.product(MODES, OPERATIONS))
    if sample is not None:
        work = random.Random(seed).sample(work, 3)
        for number, (mode, operation) in enumerate(work):
            whole.add(run_one(folder / str(number), mode, operation, sample, several, seed))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
            running = [
                pool.submit(run_one, folder / str(number), mode, operation, None, several, seed)
                for number, (mode, operation) in enumerate(work)
            ]
            ticker = Ticker("operations against Drive's faults")
            for number, done in enumerate(running, start=1):
                whole.add(done.result())
                ticker.tick(f"{number} of {len(work)}, {whole.cases} cases", number / len(work))
    whole.seconds = time.monotonic() - began
    return whole
