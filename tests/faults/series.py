"""The list of all series: a name, the claim that its success makes true, and the work that gives its
figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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

RANDOM = {"run": 140, "prune": 40, "rotate-key": 20}
"""Random moments per verb; 200 together."""


@dataclass(frozen=True)
class Series:
    """`claim` is a sentence that the success of `work` makes true; `alone`: it measures, so nothing else
    may run beside it.
    """

    claim: str
    work: Callable[[Path], list[Table]]
    alone: bool = False


def kills(verb: str, root: Path) -> list[Table]:
    """SIGKILL at every durable step of a verb."""
    with rig(root, seed=1) as made:
        tally = every_step(made, verb)
    return [_phases(tally), _kinds(tally)]


def moments(verb: str, root: Path) -> list[Table]:
    """SIGKILL at random moments of a verb."""
    with rig(root, seed=2) as made:
        return [_phases(random_moments(made, verb, RANDOM[verb]))]


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


def _phases(tally: Tally) -> Table:
    both = Counter(tally.by_step) + Counter(tally.by_moment)
    rows: list[list[object]] = [[phase, count] for phase, count in sorted(both.items())]
    rows.append([f"all (restored and compared: {tally.restored})", both.total()])
    return Table(["phase in which it was killed", "deaths"], rows)


def _kinds(tally: Tally) -> Table:
    return Table(["killed in front of a …", "deaths"], sorted(tally.kinds.items()))


SERIES: dict[str, Series] = {
    **{
        f"kills-{verb}": Series(
            f"After SIGKILL in front of every durable step of `{verb}` the next run succeeds, every earlier "
            "backup is whole in both stores and restores equal to what it was made of, and nothing "
            "unreferenced stays.",
            partial(kills, verb),
        )
        for verb in RANDOM
    },
    **{
        f"moments-{verb}": Series(
            f"The same after SIGKILL at {count} random moments of `{verb}`.", partial(moments, verb)
        )
        for verb, count in RANDOM.items()
    },
    "writers": Series(
        "While others write, truncate and rewrite tables, and attach and purge files, each backup holds "
        "exactly the rows that it says, and every attachment that it mentions, or says that it is missing at "
        "the source.",
        writers,
    ),
    "schedules": Series(
        "Timers elapse exactly when a cron library says, but for times that a change of clocks skips or "
        "repeats.",
        schedules,
    ),
    "sources": Series(
        "With a broken source the run fails with one sentence, and nothing old is removed in its wake.",
        sources,
    ),
}
