"""`loomio-backup prune`: remove what the settings no longer keep, or say what would go and why."""

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.backup import anomaly
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError, RetentionError, StoreError
from loomio_backup.progress import bytes_text, say
from loomio_backup.restore import restore_journal
from loomio_backup.retention.prune import Pruner, Report
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store


@dataclass(frozen=True)
class Wish:
    """What was typed. `resume`: let retention go on after a freeze, and without backups that disappeared.
    `wait`: for a backup or a restore to finish.
    """

    store: str | None = None
    dry_run: bool = False
    resume: bool = False
    as_json: bool = False
    wait: bool = False


def run(settings: Config, credentials: Credentials, wish: Wish) -> int:
    """The verb. Raises RetentionError when a person has to put something right."""
    state, out = StateDirectory(settings.state_directory), sys.stdout
    if wish.dry_run:
        with Catalogue(state.catalogue) as catalogue:
            _show(_prune(settings, credentials, state, catalogue, wish), wish.as_json, out)
        return 0
    # What it waits for is no part of the document.
    aside = contextlib.redirect_stdout(sys.stderr) if wish.as_json else contextlib.nullcontext()
    with aside, state.locked("prune", wish.wait), Catalogue(state.catalogue) as catalogue:
        id_ = catalogue.begin_run("prune")
        try:
            restore_journal.refuse_unfinished(state.restore_journal, "nothing was removed", RetentionError)
            if settings.clock_wait_seconds:
                clock.wait_synchronised(settings.clock_wait_seconds)
            reports = _prune(settings, credentials, state, catalogue, wish)
            _show(reports, wish.as_json, out)
            _raise_problems(reports)
        except AgentError as error:
            catalogue.end_run(id_, "failed", None, str(error))
            raise
        catalogue.end_run(id_, "complete", None, None)
    return 0


def _prune(
    settings: Config, credentials: Credentials, state: StateDirectory, catalogue: Catalogue, wish: Wish
) -> list[Report]:
    stores = open_stores(settings, credentials)
    if wish.store is not None and wish.store not in stores:
        raise RetentionError(f"no store {wish.store} is configured. Nothing was done.")
    reader = Reader(settings, credentials, state, catalogue)
    tell = _quiet if wish.as_json or wish.dry_run else say
    if wish.resume and not wish.dry_run:
        _resume(catalogue, reader, stores, tell)
    only = None if wish.store is None else [wish.store]
    return Pruner(settings, credentials, state, catalogue, reader, tell).prune(stores, only, wish.dry_run)


def _resume(
    catalogue: Catalogue, reader: Reader, stores: dict[str, Store], tell: Callable[[str], None]
) -> None:
    """Let go of what stops retention where that is for a person to decide: a freeze, and backups that
    disappeared. A store that cannot be read keeps what it knows.
    """
    frozen = catalogue.meta("frozen")
    if frozen is not None:
        catalogue.set_meta("frozen", None)
        own = catalogue.lineage()
        if own is not None:
            catalogue.set_meta(anomaly.ACCEPTED, f"{own.generation}.{own.sequence}")
        tell(
            f"retention goes on. It was frozen: {frozen} What was pinned then stays pinned "
            "until: loomio-backup unpin NAME"
        )
    for kind, store in stores.items():
        try:
            missing = reader.read(store).missing
        except StoreError as error:
            tell(f"{kind}: {error}")
            continue
        for name in missing:
            catalogue.forget_stored(kind, name)
            tell(f"{kind}: {name} disappeared, and is no longer expected there")


def _show(reports: list[Report], as_json: bool, out: TextIO) -> None:
    if as_json:
        print(json.dumps([_document(report) for report in reports], indent=1), file=out)
        return
    for report in reports:
        for line in _explained(report) if report.dry_run else [_summed_up(report)]:
            say(f"{report.store}: {line}")


def _summed_up(report: Report) -> str:
    if report.plan is None:
        return "could not be pruned"
    actions = [decision.action for decision in report.plan.decisions if decision.name not in report.removed]
    said = f"{len(report.removed)} backups removed, {len(actions)} are there"
    if "held back" in actions:
        said += f" ({actions.count('held back')} will go later)"
    if report.clearing is not None and report.clearing.waiting:
        said += f", {len(report.clearing.waiting)} objects that nothing needs are watched"
    said += f", {bytes_text(report.freed)} freed"
    return said if report.note is None else f"{said}. Nothing is removed by the settings now: {report.note}"


def _explained(report: Report) -> list[str]:
    """Every decision in words."""
    lines = []
    if report.plan is not None and not report.plan.decisions:
        lines.append("there is no backup yet")
    in_need = {decision.name: decision for decision in report.in_need}
    for name in report.finished:
        lines.append(f"finish       {name}: its removal was interrupted")
    for decision in report.plan.decisions if report.plan is not None else ():
        final = in_need.get(decision.name, decision)
        lines.append(f"{final.action:<12} {final.name}: {final.reason}")
    if report.clearing is not None:
        lines += [f"remove       {stored.name}: nothing needs it" for stored in report.clearing.ripe]
        lines += [
            f"watch        {stored.name}: nothing needs it; it goes when that has been so for 7 days"
            for stored in report.clearing.waiting
        ]
    stopped = report.plan.stopped if report.plan is not None else None
    if stopped is not None:
        lines.append(f"nothing is removed by the settings now: {stopped}")
    if report.problem is not None and report.problem != f"nothing was removed: {stopped}.":
        lines.append(report.problem)
    return lines


def _document(report: Report) -> dict[str, Any]:
    plan, clearing = report.plan, report.clearing
    return {
        "store": report.store,
        "dry_run": report.dry_run,
        "decisions": [decision.__dict__ for decision in plan.decisions] if plan is not None else [],
        "to_make_room": [decision.__dict__ for decision in report.in_need],
        "removed": report.removed,
        "finished": report.finished,
        "unneeded_removed": [stored.name for stored in clearing.ripe] if clearing is not None else [],
        "unneeded_watched": [stored.name for stored in clearing.waiting] if clearing is not None else [],
        "freed_bytes": report.freed,
        "stopped": plan.stopped if plan is not None else None,
        "problem": report.problem,
    }


def _raise_problems(reports: list[Report]) -> None:
    problems = [f"{report.store}: {report.problem}" for report in reports if report.problem is not None]
    if problems:
        raise RetentionError(
            f"old backups were not removed as the settings ask. {' '.join(problems)} No backup that is to "
            "stay was touched. See every decision with: loomio-backup prune --dry-run"
        )


def _quiet(_: str) -> None:
    """For where only the document or the explanation is wanted."""
