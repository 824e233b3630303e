"""SIGKILL after every durable step, and at random moments, of the verbs that change stores.

After each death: the next run of the same verb succeeds, every earlier backup is whole in both stores and
(restored on another Pi) equal to what it was made of, and nothing unreferenced stays.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from loomio_backup.progress import Ticker
from tests.lab.agent_keys import rotate

from .rig import EVERYTHING, NOTHING_BUT_PINS, Rig

_MANY = 20

Scenario = Callable[[Rig], list[str]]
"""Brings the Pi to the state in which the verb has something to do; returns the verb's arguments."""


@dataclass
class Tally:
    """Deaths of one verb: by phase and by kind of the step in front of which they came; seconds of it all."""

    verb: str
    by_step: Counter[str] = field(default_factory=Counter)
    by_moment: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    restored: int = 0
    seconds: float = 0.0


def before_run(rig: Rig) -> list[str]:
    """Something to back up, and an old backup to remove afterwards."""
    rig.change()
    return ["run"]


def before_prune(rig: Rig) -> list[str]:
    """Two backups whose pins were taken away: they, and packs that only they need, are due."""
    due = []
    for _ in range(2):
        rig.change()
        due.append(rig.backup("--pin"))
    rig.change()
    rig.backup()
    for name in due:
        rig.pi.must("unpin", name)
    return ["prune"]


def before_rotation(rig: Rig) -> list[str]:
    """A new identity in the credentials, and the keyring that brings the old ones along."""
    rotate(rig.pi)
    # The other Pi gets only the new one: the keyring in the store has to bring the rest.
    (rig.fresh.root / "credentials" / "identity").write_text(rig.pi.identity + "\n")
    return ["rotate-key"]


SCENARIOS: dict[str, Scenario] = {
    "run": before_run,
    "prune": before_prune,
    "rotate-key": before_rotation,
}


def every_step(rig: Rig, verb: str, sample: int | None = None) -> Tally:
    """Kill the verb in front of its first durable step, its second, … until it ends by itself (or, with
    `sample`, only at so many steps spread over all of them).
    """
    tally, began = Tally(verb), time.monotonic()
    whole = rig.killed(SCENARIOS[verb](rig))
    _recovers(rig, verb, tally, restore=False)
    ticker, total = Ticker(f"kills of {verb}"), len(whole.steps)
    for step in _steps(total, sample):
        arguments = SCENARIOS[verb](rig)
        death = rig.killed(arguments, step=step)
        if not death.killed:
            break
        tally.by_step[death.phase] += 1
        tally.kinds[death.steps[-1]["kind"]] += 1
        ticker.tick(f"at step {step} of about {total}", step / total)
        _recovers(rig, verb, tally, restore=True)
    if sample is None:
        missed = {str(step["phase"]) for step in whole.steps} - set(tally.by_step)
        assert not missed, f"nobody died in {missed}"
    tally.seconds = time.monotonic() - began
    return tally


def random_moments(rig: Rig, verb: str, count: int, restore_every: int = 5) -> Tally:
    """Kill the verb at `count` random moments between its start and its usual end; a run now and then several
    times in a row, with changes in between, while retention keeps everything: nothing that was ever complete
    in a store may be missing there afterwards.
    """
    tally, began = Tally(verb), time.monotonic()
    arguments = SCENARIOS[verb](rig)
    started = time.monotonic()
    rig.killed(arguments)
    usual = time.monotonic() - started
    _recovers(rig, verb, tally, restore=False)
    deaths = in_a_row = 0
    ticker = Ticker(f"kills of {verb} at random")
    complete: dict[str, set[str]] = {"local": set(), "drive": set()}
    while deaths < count:
        rig.keep(EVERYTHING if verb == "run" else NOTHING_BUT_PINS)
        arguments = SCENARIOS[verb](rig)
        for store, names in complete.items():
            names |= set(rig.names(store))
        death = rig.killed(arguments, seconds=rig.random.uniform(0, usual))
        if death.killed:
            deaths += 1
            tally.by_moment[death.phase] += 1
            ticker.tick(f"{deaths} of {count}", deaths / count)
        in_a_row += 1
        if verb == "run" and in_a_row < 4 and deaths < count and rig.random.random() < 0.4:
            continue
        in_a_row = 0
        _recovers(rig, verb, tally, restore=deaths % restore_every == 0)
        for store, names in complete.items():
            lost = names - set(rig.names(store))
            assert verb != "run" or not lost, f"{store} lost {lost}"
            names.clear()
        if len(rig.names("local")) > _MANY:
            rig.keep(NOTHING_BUT_PINS)
            rig.pi.must("prune")
            rig.age()
    tally.seconds = time.monotonic() - began
    return tally


def _steps(total: int, sample: int | None) -> Iterator[int]:
    if sample is None:
        # Open-ended: how many there are differs a little from one run to the next.
        yield from itertools.count(1)
    else:
        yield from sorted({round(1 + index * (total - 1) / max(1, sample - 1)) for index in range(sample)})


def _recovers(rig: Rig, verb: str, tally: Tally, restore: bool) -> None:
    pinned = {name for name in rig.known if (rig.folder / f"{name}.pin.age").exists()}
    rig.intact(pinned, keyring_due=verb == "rotate-key")
    if verb != "run":
        rig.pi.must(verb)
    rig.backup()
    rig.intact(pinned)
    left = rig.unreferenced()
    assert left == [], f"nothing needs {left}"
    rig.age()  # so that the stages of retention do not end this series
    if restore:
        # What is byte for byte what it was restores as it did before; so one of them each time, by turns.
        store = rig.random.choice(["local", "drive"])
        rig.restores(rig.random.choice([*sorted(pinned), rig.names(store)[0]]), store)
        tally.restored += 1
    _forget(rig)


def _forget(rig: Rig) -> None:
    """What retention removed need not restore any more."""
    there = set(rig.names("local")) & set(rig.names("drive"))
    for name in set(rig.known) - there:
        del rig.known[name]
