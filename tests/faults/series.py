"""The list of all series: a name, the claim that its success makes true, and the work that gives its
figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from tests.lab import pi
from tests.lab.agent_site import site

from . import schedule_series
from .kill_series import Tally, every_step, random_moments
from .report import Table
from .rig import rig
from .source_series import CASES, cutting_image, fails_and_removes_nothing
from .writers_series import run_series

Work = Callable[[Path], list[Table]]
RANDOM = {"run": 140, "prune": 40, "rotate-key": 20}
"""Random moments per verb; 200 together."""


def kills(root: Path) -> list[Table]:
    """SIGKILL at every durable step of run, prune and rotate-key."""
    tallies = []
    for number, verb in enumerate(RANDOM):
        with rig(root / verb, seed=number) as made:
            tallies.append(every_step(made, verb))
            print(f"   {verb}: {tallies[-1].by_step.total()} steps", flush=True)
    return [_phases(tallies), _kinds(tallies)]


def moments(root: Path) -> list[Table]:
    """SIGKILL at random moments of run, prune and rotate-key."""
    tallies = []
    for number, (verb, count) in enumerate(RANDOM.items()):
        with rig(root / verb, seed=10 + number) as made:
            tallies.append(random_moments(made, verb, count))
            print(f"   {verb}: {tallies[-1].by_moment.total()} moments", flush=True)
    return [_phases(tallies)]


def writers(root: Path, backups: int = 40) -> list[Table]:
    """Backups under fire."""
    with site(root / "pi", "faults-writers", local=root / "disk") as pi:
        pi.fill()
        with site(root / "fresh", "faults-writers2", local=root / "disk", keys=pi) as fresh:
            outcome = run_series(pi, fresh, backups)
    rows = [[key.replace("_", " "), round(value, 1)] for key, value in vars(outcome).items()]
    return [Table(["", "count"], rows)]


def sources(root: Path) -> list[Table]:
    """Broken sources."""
    image = cutting_image(root)
    with rig(root / "rig", seed=30, image=image) as made:
        said = {case: fails_and_removes_nothing(made, case) for case in CASES}
    return [Table(["what was broken", "what the run said"], [[k, _sentence(v)] for k, v in said.items()])]


def schedules(root: Path, count: int = 4000) -> list[Table]:
    """Cron expressions against systemd's timers, on both releases."""
    outcomes = {
        release: schedule_series.run(pi.image(release), count, seed)
        for seed, release in enumerate(get_args(pi.Release), start=1)
    }
    keys = list(vars(schedule_series.Outcome()))
    rows = [[key.replace("_", " "), *(getattr(one, key) for one in outcomes.values())] for key in keys]
    return [Table(["", *outcomes], rows, schedule_series.NOTE)]


def _sentence(said: str) -> str:
    lines = said.strip().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("loomio-backup: "))
    return " ".join(lines[first:]).replace("|", "\\|")


def _phases(tallies: list[Tally]) -> Table:
    rows: list[list[object]] = []
    for tally in tallies:
        both = Counter(tally.by_step) + Counter(tally.by_moment)
        rows += [[tally.verb, phase, count] for phase, count in sorted(both.items())]
        rows.append([tally.verb, f"all ({tally.restored} restores compared)", both.total()])
    return Table(["verb", "phase in which it was killed", "deaths"], rows)


def _kinds(tallies: list[Tally]) -> Table:
    rows = [[tally.verb, kind, count] for tally in tallies for kind, count in sorted(tally.kinds.items())]
    return Table(["verb", "killed in front of a …", "deaths"], rows)


SERIES: dict[str, tuple[str, Work]] = {
    "kills": (
        "After SIGKILL in front of every durable step of `run`, `prune` and `rotate-key` the next run "
        "succeeds, every earlier backup is whole in both stores and restores equal to what it was made of, "
        "and nothing unreferenced stays.",
        kills,
    ),
    "moments": ("The same after SIGKILL at 200 random moments.", moments),
    "writers": (
        "While others write, truncate and rewrite tables, and attach and purge files, each backup holds "
        "exactly the rows that it says, and every attachment that it mentions, or says that it is missing at "
        "the source.",
        writers,
    ),
    "schedules": (
        "Timers elapse exactly when a cron library says, but for times that a change of clocks skips or "
        "repeats.",
        schedules,
    ),
    "sources": (
        "With a broken source the run fails with one sentence, and nothing old is removed in its wake.",
        sources,
    ),
}
