"""SIGKILL in front of every durable step of a restore onto live data, and at random moments.

After each death: what was live is still there, live or aside; the app is down, or up on all of the old;
settling leads to all of the old or all of the new, by itself; and undo leads back.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from loomio_backup.progress import Ticker

from .restore_rig import Death, RestoreRig

RESTORE = ("restore", "--unattended", "--replace-live-data", "--leave-stopped", "--backup")
OURS = ("restore", "undo", "settle", "start and end")


@dataclass
class Tally:
    """Deaths by phase; what settling led to; how often a restore after it, or an undo, was compared."""

    phases: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    app_up: int = 0
    undone: int = 0
    seconds: float = 0.0


def every_step(rig: RestoreRig, sample: int | None = None, *more: str) -> Tally:
    """Kill the restore in front of each of its durable steps (or of so many, spread over all of them).

    Those of the backup that it makes first are another series' business.
    """
    tally, began = Tally(), time.monotonic()
    streaming = "--streaming" in more
    rig.start_app()
    whole = rig.killed((*RESTORE, rig.backup, *more))
    _comes_back(rig, tally, whole, streaming)
    steps = [step["key"] for step in whole.steps if _is_ours(step["phase"])]
    if sample is not None:
        last = max(1, sample - 1)
        chosen = sorted({round(index * (len(steps) - 1) / last) for index in range(sample)})
        steps = [steps[index] for index in chosen]
    ticker = Ticker("kills of restore")
    for count, key in enumerate(steps, start=1):
        rig.start_app()
        death = rig.killed((*RESTORE, rig.backup, *more), key=key)
        assert death.killed, f"the step never came: {key}"
        assert death.steps[-1]["key"] == key
        tally.phases[death.phase] += 1
        tally.kinds[death.steps[-1]["kind"]] += 1
        ticker.tick(f"{count} of {len(steps)} steps", count / len(steps))
        _comes_back(rig, tally, death, streaming)
    tally.seconds = time.monotonic() - began
    return tally


def random_moments(rig: RestoreRig, count: int) -> Tally:
    """Kill it at so many random moments between its start and its usual end."""
    tally, began = Tally(), time.monotonic()
    rig.start_app()
    started = time.monotonic()
    whole = rig.killed((*RESTORE, rig.backup))
    usual = time.monotonic() - started
    _comes_back(rig, tally, whole)
    ticker, deaths = Ticker("kills of restore at random"), 0
    while deaths < count:
        rig.start_app()
        death = rig.killed((*RESTORE, rig.backup), seconds=rig.random.uniform(0, usual))
        if death.killed:
            deaths += 1
            tally.phases[death.phase] += 1
            ticker.tick(f"{deaths} of {count}", deaths / count)
        _comes_back(rig, tally, death)
    tally.seconds = time.monotonic() - began
    return tally


def _is_ours(phase: str) -> bool:
    return phase.startswith(OURS)


def _comes_back(rig: RestoreRig, tally: Tally, death: Death, streaming: bool = False) -> None:
    _nothing_is_lost(rig, tally, streaming)
    unfinished = rig.journal().get("state") in ("preparing", "clearing", "switching")
    assert rig.unsettled() or not unfinished, "nothing tells that there is something to settle"
    rig.pi.must("settle")
    assert not rig.unsettled()
    now = rig.state()
    if now == rig.live:
        tally.settled["the old"] += 1
        if death.phase.startswith("restore"):
            rig.pi.must(*RESTORE, rig.backup)
            assert rig.state() == rig.old, "restored again after a death it is not the backup"
    else:
        tally.settled["the new"] += 1
        assert now == rig.old, "settled, it is neither the old nor the new"
    if rig.state() == rig.old:
        _goes_back(rig, tally, streaming)
    assert rig.state() == rig.live
    rig.pi.must("undo", "--forget", "--unattended")
    assert len(rig.databases()) == 1, "something is left beside the live database"


def _goes_back(rig: RestoreRig, tally: Tally, streaming: bool) -> None:
    if streaming:
        rig.pi.must(*RESTORE, _safety(rig))
    else:
        rig.pi.must("undo", "--unattended", "--leave-stopped")
        tally.undone += 1


def _safety(rig: RestoreRig) -> str:
    """The backup of what was live: the newest that is labelled so."""
    return next(name for name, label in rig.labels() if label == "before-restore")


def _nothing_is_lost(rig: RestoreRig, tally: Tally, streaming: bool) -> None:
    """What was live is there, and whoever looks at the app sees a database and files of one time."""
    if rig.app_runs():
        tally.app_up += 1
        assert rig.state() == rig.live, "the app runs on something else than it did"
    if streaming and rig.journal().get("state") != "preparing":
        assert _safety(rig)
        return
    assert rig.live[0] in rig.databases().values(), "the database that was live is nowhere"
    lost = rig.live_files() - rig.kept_files()
    assert not lost, f"files that were live are nowhere: {sorted(name for name, _ in lost)}"
