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

from tests.bench import whole
from tests.lab import pi
from tests.lab.agent_site import site

from . import (
    drive_restores,
    long_tests,
    mutation_series,
    recovery_series,
    restore_series,
    retention_decisions,
    retention_life,
    schedule_series,
    setup_series,
    store_runs,
    store_series,
)
from .kill_series import Tally, every_step, random_moments
from .pi_rig import live_pi
from .reboot_series import RebootSeries
from .recovery_rig import recovery_rig
from .report import Table
from .restore_rig import restore_rig
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


def setups(root: Path) -> list[Table]:
    """Every combination of optional parts, on every release."""
    found = setup_series.run_series(root)
    rows = [
        [one.release, one.combination, one.changed, one.first_seconds, one.second_seconds] for one in found
    ]
    return [Table(["release", "parts", "changes", "setup, s", "again, s"], rows)]


def moments(verb: str, root: Path) -> list[Table]:
    """SIGKILL at random moments of a verb."""
    with rig(root, seed=2) as made:
        return [_phases(random_moments(made, verb, RANDOM[verb]))]


def restores(root: Path, streaming: bool = False) -> list[Table]:
    """SIGKILL at every durable step of a restore onto live data."""
    with restore_rig(root, seed=50 + streaming) as made:
        tally = restore_series.every_step(made, None, *(["--streaming"] if streaming else []))
    return _restores(tally)


def restore_moments(root: Path, count: int = 50) -> list[Table]:
    """SIGKILL at random moments of one."""
    with restore_rig(root, seed=52) as made:
        return _restores(restore_series.random_moments(made, count))


def _restores(tally: restore_series.Tally) -> list[Table]:
    rows: list[list[object]] = [[phase, count] for phase, count in sorted(tally.phases.items())]
    rows.append(["all", tally.phases.total()])
    ends: list[list[object]] = [[f"settled as {end}", count] for end, count in sorted(tally.settled.items())]
    ends += [["undone and compared", tally.undone], ["app still up, on the old", tally.app_up]]
    return [Table(["phase in which it was killed", "deaths"], rows), Table(["afterwards", "times"], ends)]


def reboots(root: Path, moments: int = 6) -> list[Table]:
    """Power cuts in the middle of a restore, on a simulated Pi."""
    with live_pi(root, seed=60) as made:
        series = RebootSeries(*made)
        series.at_steps()
        tally = series.at_moments(moments)
    rows: list[list[object]] = [[phase, count] for phase, count in sorted(tally.phases.items())]
    rows.append([f"all ({moments} of them at random moments)", tally.phases.total()])
    ends: list[list[object]] = [[f"settled as {end}", count] for end, count in sorted(tally.settled.items())]
    ends += [
        ["then restored again and compared", tally.again],
        ["undone and compared", tally.undone],
        ["app still up when the power went, on a matching pair", tally.app_up],
        ["seconds from the power cut to a running app, at most", round(tally.longest)],
    ]
    return [Table(["phase in which the power was cut", "cuts"], rows), Table(["afterwards", "times"], ends)]


def recoveries(root: Path) -> list[Table]:
    """Disaster recoveries that are interrupted in each phase."""
    with recovery_rig(root, seed=61) as made:
        tally = recovery_series.run_series(made)
    ways = (recovery_series.OPERATOR, recovery_series.POWER, recovery_series.AGENT)
    rows: list[list[object]] = [
        [phase, *(tally.struck[way, phase] or "" for way in ways)]
        for phase in recovery_series.PHASES.values()
    ]
    rows.append(["all", *(sum(n for (way, _), n in tally.struck.items() if way == one) for one in ways)])
    struck: list[list[object]] = [[kind, count] for kind, count in sorted(tally.drive.items())]
    ends: list[list[object]] = [["ended equal to the source", tally.compared]]
    return [
        Table(["phase", *ways], rows, _RECOVERIES),
        Table(["Drive's fault in one recovery", "struck"], struck),
        Table(["Drive gone for good", "said"], [["token refused", tally.said]]),
        Table(["afterwards", "times"], ends),
    ]


def recovery_moments(root: Path, count: int = 50) -> list[Table]:
    """Disaster recoveries that are interrupted at random moments."""
    with recovery_rig(root, seed=63) as made:
        tally = recovery_series.RecoverySeries(made).at_moments(count)
    ways = (recovery_series.OPERATOR, recovery_series.POWER, recovery_series.AGENT)
    rows: list[list[object]] = [
        [phase, *(tally.struck[way, phase] or "" for way in ways)]
        for phase in ("start", *recovery_series.PHASES.values())
        if any(tally.struck[way, phase] for way in ways)
    ]
    rows.append(["all", *(sum(n for (way, _), n in tally.struck.items() if way == one) for one in ways)])
    ends: list[list[object]] = [["ended equal to the source", tally.compared]]
    return [Table(["phase", *ways], rows), Table(["afterwards", "times"], ends)]


_RECOVERIES = (
    "Each column is one chain: every interrupted run is followed by the next, which gets a phase further; an "
    "empty cell is a phase that the Pi had gone through by itself after the interruption before."
)


def restores_from_drive(root: Path) -> list[Table]:
    """Restores under every fault of Drive."""
    with drive_restores.drive_restores(root, seed=62) as made:
        result = drive_restores.run_series(made)
    ends: list[list[object]] = [[*key, count] for key, count in sorted(result.ends.items())]
    ends.append(["all", f"({result.idle} struck nothing)", result.runs])
    struck = [[name, count] for name, count in sorted(result.struck.items())]
    said = [[where, _without_places(text, root)] for where, text in sorted(result.said.items())]
    return [
        Table(["restore", "ended", "times"], ends),
        Table(["fault", "struck"], struck),
        Table(["Drive gone for good", "said"], said),
    ]


def _without_places(said: str, root: Path) -> str:
    return said.replace(str(root), "").replace("|", "\\|")


def writers(root: Path, backups: int = 30) -> list[Table]:
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
    rows = [[case, _sentence(text).replace(str(root), "")] for case, text in said.items()]
    return [Table(["what was broken", "what the run said"], rows)]


def schedules(root: Path, count: int = 4000) -> list[Table]:
    """Cron expressions against systemd's timers, on both releases."""
    outcomes = {
        release: schedule_series.run(pi.image(release), count, seed)
        for seed, release in enumerate(get_args(pi.Release), start=1)
    }
    keys = list(vars(schedule_series.Outcome()))
    rows = [[key.replace("_", " "), *(getattr(one, key) for one in outcomes.values())] for key in keys]
    return [Table(["", *outcomes], rows, schedule_series.NOTE)]


def drive_runs(root: Path) -> list[Table]:
    """Whole runs under every fault."""
    with rig(root, seed=40) as made:
        result = store_runs.run_series(made)
    ends: list[list[object]] = [[*key, count] for key, count in sorted(result.ends.items())]
    ends.append(["all", f"({result.idle} struck nothing)", result.runs])
    struck = [[name, count] for name, count in sorted(result.struck.items())]
    return [Table(["stores", "ended", "runs"], ends), Table(["fault", "struck"], struck)]


def stores(root: Path) -> list[Table]:
    """Every operation of the Drive store under every fault."""
    result = store_series.run_series(root)
    ends = [[*key, count] for key, count in sorted(result.ends.items())]
    ends.append(["all", f"({result.idle} struck nothing)", result.cases])
    struck = [[name, count] for name, count in sorted(result.struck.items())]
    return [Table(["operation", "ended", "cases"], ends), Table(["fault", "struck"], struck)]


def mutations(root: Path) -> list[Table]:
    """Everything that can be done to the objects of a store."""
    result = mutation_series.run_series(root)
    rows: list[list[object]] = [
        [*key, count, result.noticed[key], result.noticed_anew[key]]
        for key, count in sorted(result.mutations.items())
    ]
    counted = (result.mutations, result.noticed, result.noticed_anew)
    rows.append([f"all ({result.in_drive} in Drive)", "", *(counter.total() for counter in counted)])
    kinds = ["newest", "older", "nothing"]
    taken = [[kind, result.read[kind], result.restored[kind]] for kind in kinds]
    return [
        Table(["object", "what was done to it", "mutations", "noticed", "by a new Pi"], rows, _MUTATIONS),
        Table(["what a restore took", "read with its code", "restored whole"], taken, _TAKEN),
        Table(["history", "noticed by"], [[what, ", ".join(by)] for what, by in result.shortened.items()]),
        Table(["harmless", "because"], [[one.what, one.why] for one in result.harmless], _HARMLESS),
    ]


_MUTATIONS = (
    "Noticed: `check --read-data` fails and names the object. A new Pi has the keys and no catalogue, so a "
    "manifest or keyring that is gone, and another RECOVERY.md, are nothing that it could know of; "
    "`--expect-newer-than` is for that."
)
_TAKEN = (
    "On a new Pi, of the newest backup: it, an older one that is whole, or a refusal. Each time what came "
    "was compared with what had been backed up."
)
_HARMLESS = "These are not noticed, and every restore gave the newest backup all the same."


def retention(_: Path, examples: int = 2_000, lives: int = 150) -> list[Table]:
    """Properties of the decisions, and random lives of a Pi whose stores are pruned."""
    for check in retention_decisions.CHECKS:
        retention_decisions.holds(check, examples)
    retention_life.holds(lives, steps=40)
    rows: list[list[object]] = [[name.replace("_", " "), examples] for name in retention_decisions.CHECKS]
    rows.append(["lives of up to 40 steps with failures, full disks and wrong clocks", lives])
    return [Table(["property", "examples"], rows)]


def rare(root: Path) -> list[Table]:
    """Every test that `make test` leaves out."""
    found = long_tests.run_series(root)
    rows: list[list[object]] = [
        [file, count, found.seconds[file]] for file, count in sorted(found.passed.items())
    ]
    rows.append([f"all ({found.skipped} skipped)", found.passed.total(), found.seconds.total()])
    return [Table(["file", "tests that passed", "seconds"], rows)]


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
    "kills-restore": Series(
        "After SIGKILL in front of every durable step of a restore onto live data, what was live is still "
        "there, the app is down or on all of the old, settling leads by itself to all of the old or all of "
        "the new, the restore run again gives the backup, and undo leads back.",
        restores,
    ),
    "kills-restore-streaming": Series(
        "The same in streaming mode, where what was live is in the backup that was made of it.",
        partial(restores, streaming=True),
    ),
    "moments-restore": Series("The same after SIGKILL at 50 random moments of a restore.", restore_moments),
    "reboots-restore": Series(
        "After a power cut in front of every kind of durable step of a restore onto live data, and at random "
        "moments, what was live is still there and the app is down or on a matching pair of database and "
        "files; after the boot nobody has to do anything: all of the old or all of the new is live, the app "
        "answers on it, the restore run again gives the backup, and undo leads back.",
        reboots,
        alone=True,
    ),
    "recoveries": Series(
        "A disaster recovery that is interrupted in each of its phases (the operator's program killed, the "
        "agent killed, the Pi's power cut) and run again ends equal to the source, and backups go on only "
        "then; so does one while Drive fails now and then. With Drive gone for good it ends with the reason, "
        "and has begun nothing.",
        recoveries,
        alone=True,
    ),
    "moments-recoveries": Series(
        "The same after interruptions at 50 random moments of a recovery.", recovery_moments
    ),
    "drive-restores": Series(
        "Whatever Drive or the network does, a restore ends equal to the backup, or with one sentence and "
        "with what was live untouched; and run again it ends equal.",
        restores_from_drive,
    ),
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
    "drive-runs": Series(
        "Whatever Drive or the network does, a run ends complete in both stores or failed with one sentence; "
        "every backup that is in Drive is whole, byte for byte, and the next run clears up.",
        drive_runs,
    ),
    "stores": Series(
        "Each operation of the Drive store, under each fault at each of its requests, ends right or with one "
        "sentence; nothing bad is ever under an object's name, and older objects are untouched.",
        stores,
    ),
    "mutations": Series(
        "Whatever is done to any object of a store (a bit flipped, cut off, swapped, replaced by an older "
        "one, by another Loomio's, by a forgery), it is noticed and named, and no restore gives anything "
        "else than a backup as it was made. A history that was made shorter is noticed where there is a "
        "catalogue, and with `--expect-newer-than` where there is none.",
        mutations,
    ),
    "retention": Series(
        "The brakes hold, periods keep what their definition says, pruning again changes nothing, and the Pi "
        "never ends unable to back up and unable to make room.",
        retention,
    ),
    "incremental": Series(
        "Whatever happens to a tree of files between backups, each file of a backup is in one of its packs "
        "with its right content.",
        whole.incremental,
    ),
    "memory": Series(
        "Agent and children take at most 150 MB, and the same within 10 % at half the size.",
        whole.memory,
        alone=True,
    ),
    "increments": Series(
        "After 1 % of the files changed, new packs are at most 1.1 times the changed bytes, and the file "
        "part of files of a usual size takes at most a tenth of the first one's time; with nothing changed "
        "100,000 files take under 10 s.",
        whole.increments,
        alone=True,
    ),
    "database": Series(
        "The database part takes at most twice as long as `pg_dump -Fc -Z0 -f /dev/null` in the container.",
        whole.database,
        alone=True,
    ),
    "recovery": Series(
        "From the command to a Loomio that is verified, recovery of 1 GB of database and 1 GB of files takes "
        "at most 1.5 times the sum of what none can do without, each done by a plain command in the same "
        "run.",
        whole.recovery,
        alone=True,
    ),
    "setups": Series(
        "Whichever optional parts are turned on together, one setup brings them about, also after any other "
        "combination, and the next one changes nothing: no operation, no container, no file.",
        setups,
    ),
    "long-tests": Series(
        "Every test that takes minutes, and that `make test` therefore leaves out, passes.",
        rare,
    ),
}
