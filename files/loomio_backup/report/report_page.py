"""The recovery report as one page of HTML: the facts as tables, charts and sentences, and the template.

Nothing on the page is fetched from anywhere, and no script runs: it can be sent by mail, and read in ten
years. Every text is escaped by the template, whoever wrote it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from loomio_backup.config import Config, zone
from loomio_backup.drill.drills import Drill
from loomio_backup.monitoring.conditions import PLACES, text_of
from loomio_backup.monitoring.store_status import StoreStatus
from loomio_backup.progress import bytes_text, seconds_text
from loomio_backup.report.report_charts import Chart, bars, course
from loomio_backup.report.report_data import (
    RECENT,
    Backup,
    Facts,
    seconds_of,
)
from loomio_backup.retention.forecast import Used
from loomio_backup.retention.prune import Report

MARK = "loomio-backup report"
"""What a page of ours calls its generator."""
_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Table:
    """A table whose first cells head their rows."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of the page: sentences first, then charts, then tables."""

    key: str
    title: str
    texts: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()


def render(config: Config, facts: Facts) -> str:
    """The whole page."""
    # Only this verb needs it: its import costs time and memory on a Pi.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = _Page(config, facts)
    return environment.get_template(_TEMPLATE).render(
        mark=MARK,
        host=facts.status.host,
        version=facts.status.program_version,
        made_at=text_of(facts.status.at, config),
        problems=facts.problems,
        notes=facts.notes,
        sections=list(page.sections()),
    )


class _Page:
    def __init__(self, config: Config, facts: Facts) -> None:
        self._config = config
        self._facts = facts
        self._status = facts.status

    def sections(self) -> Iterator[Section]:
        yield Section("now", "If this Pi dies now", [self._status.outlook.text])
        yield Section("stores", "Where the backups are", tables=[self._stores()])
        yield self._history()
        yield self._drills()
        for store in self._status.stores:
            yield self._kept(store)
        yield Section("room", "Room, and when it ends", charts=list(self._room()), texts=self._forecasts())

    # -- stores ----------------------------------------------------------------------------------------------

    def _stores(self) -> Table:
        rows = []
        for store in self._status.stores:
            newest = "none yet"
            if store.newest_at is not None:
                newest = f"{self._at(store.newest_at)} ({store.newest})"
            size = "not known" if store.bytes is None else bytes_text(store.bytes)
            proof = "never"
            if store.verified is not None and store.verified_at is not None:
                proof = f"{store.verified}, {self._at(store.verified_at)}"
            rows.append([_place(store), newest, f"{store.backups}, together {size}", proof, _wrong(store)])
        columns = ["store", "newest complete backup", "backups", "last verified by a drill", "what is wrong"]
        return Table("The stores", columns, rows)

    # -- history ---------------------------------------------------------------------------------------------

    def _history(self) -> Section:
        facts = self._facts
        texts = [self._gap_text()]
        charts = []
        for store in self._status.stores:
            held = [backup for backup in facts.backups if store.store in backup.stores]
            if held:
                charts.append(self._sizes(store, held))
        if facts.backups:
            charts.append(self._durations(facts.backups))
        tables = [self._backups()] if facts.backups else []
        if facts.failed:
            rows = [[self._at(ran.at), ran.verb, ran.outcome, ran.error] for ran in facts.failed]
            tables.append(
                Table(f"Runs of the last {RECENT.days} days that failed", _FAILED, rows),
            )
        if facts.gaps:
            rows = [
                [self._at(gap.after), "it lasts" if gap.until is None else self._at(gap.until)]
                for gap in facts.gaps
            ]
            tables.append(Table(f"Gaps of the last {RECENT.days} days", ["no backup after", "until"], rows))
        return Section("history", "History of the backups", texts, charts, tables)

    def _gap_text(self) -> str:
        gaps, days = self._facts.gaps, RECENT.days
        if not self._facts.backups:
            return "There is no backup yet."
        if not gaps:
            return f"No gap: within the last {days} days every backup that was due was made."
        last = gaps[-1]
        until = "and it lasts" if last.until is None else f"until {self._at(last.until)}"
        return (
            f"{_count(len(gaps), 'gap')} within the last {days} days, in which a backup was due and none was "
            f"made; the last one after {self._at(last.after)}, {until}."
        )

    def _sizes(self, store: StoreStatus, held: Sequence[Backup]) -> Chart:
        sizes = [backup.bytes for backup in held]
        newest, largest, smallest = held[-1], max(sizes), min(sizes)
        return Chart(
            key=f"sizes-{store.store}",
            title=f"Sizes of the backups in {PLACES[store.store]}",
            text=f"{_count(len(held), 'backup')}, from {self._at(held[0].at)} to {self._at(newest.at)}. The "
            f"newest needs {bytes_text(newest.bytes)}, the smallest {bytes_text(smallest)}, the largest "
            f"{bytes_text(largest)}. Backups share what did not change.",
            top=bytes_text(largest),
            begin=self._day(held[0].at),
            end=self._day(newest.at),
            bars=bars(sizes),
        )

    def _durations(self, backups: Sequence[Backup]) -> Chart:
        took = [backup.seconds for backup in backups]
        return Chart(
            key="durations",
            title="How long each backup took",
            text=f"The newest took {seconds_text(took[-1])}, the quickest {seconds_text(min(took))}, the "
            f"slowest {seconds_text(max(took))}.",
            top=seconds_text(max(took)),
            begin=self._day(backups[0].at),
            end=self._day(backups[-1].at),
            bars=bars(took),
        )

    def _backups(self) -> Table:
        rows = [
            [
                f"{self._at(backup.at)} ({backup.name})",
                ", ".join(PLACES[kind] for kind in backup.stores),
                f"{bytes_text(backup.bytes)}: {backup.rows} rows, {backup.files} files",
                seconds_text(backup.seconds),
                "; ".join(_remarks(backup)) or "none",
            ]
            for backup in reversed(self._facts.backups)
        ]
        columns = ["backup", "in", "content", "took", "label and remarks"]
        return Table("The backups, newest first", columns, rows)

    # -- drills ----------------------------------------------------------------------------------------------

    def _drills(self) -> Section:
        found = self._facts.drills
        if not found:
            text = "No drill (a restore for proof) was made yet, so nothing shows that the backups come back."
            return Section("drills", "Drills", [text])
        rows = [
            [
                self._at(drill.finished_at),
                f"{drill.backup} from {PLACES[drill.store]}",
                "the whole backup" if drill.scope == "whole" else "a sample",
                "passed" if drill.passed else f"failed: {' '.join(drill.problems)}",
                self._times(drill),
                _compared(drill),
            ]
            for drill in found
        ]
        oldest_first = list(reversed(found))
        took = [seconds_of(drill) for drill in oldest_first]
        failed = [not drill.passed for drill in oldest_first]
        chart = Chart(
            key="drills-took",
            title="How long the drills took",
            text=f"{_count(len(found), 'drill')}, {sum(failed) or 'none'} failed. The newest took "
            f"{seconds_text(took[-1])}, the slowest {seconds_text(max(took))}. Failed ones are outlined.",
            top=seconds_text(max(took)),
            begin=self._day(oldest_first[0].finished_at),
            end=self._day(oldest_first[-1].finished_at),
            bars=bars(took, failed),
        )
        columns = ["when", "backup", "scope", "result", "took", "compared"]
        return Section(
            "drills", "Drills", charts=[chart], tables=[Table("The drills, newest first", columns, rows)]
        )

    def _times(self, drill: Drill) -> str:
        parts = ", ".join(f"{name} {seconds_text(took)}" for name, took in drill.phases.items())
        return f"{seconds_text(seconds_of(drill))}{f' ({parts})' if parts else ''}"

    # -- retention -------------------------------------------------------------------------------------------

    def _kept(self, store: StoreStatus) -> Section:
        key, title = f"kept-{store.store}", f"What {PLACES[store.store]} keeps, and why"
        report = self._facts.decisions.get(store.store)
        if report is None:
            return Section(key, title, [store.problem or "It cannot be read now, so this is not known."])
        texts = [text for text in (report.note, report.problem) if text is not None]
        rows = [list(row) for row in _decided(report)]
        if not rows:
            return Section(key, title, texts or ["There is no backup yet."])
        return Section(
            key, title, texts, tables=[Table(f"Decisions in {PLACES[store.store]}", _DECIDED, rows)]
        )

    # -- room ------------------------------------------------------------------------------------------------

    def _forecasts(self) -> list[str]:
        said = []
        for store in self._status.stores:
            free = ""
            if store.free_bytes is not None and store.total_bytes is not None:
                free = f" {bytes_text(store.free_bytes)} of {bytes_text(store.total_bytes)} are free now."
            said.append(f"{_place(store)}: {store.forecast}{free}")
        return said

    def _room(self) -> Iterator[Chart]:
        for store in self._status.stores:
            used = list(self._facts.used.get(store.store, ()))
            today = self._status.at.astimezone(zone(self._config.timezone)).date()
            if store.used_bytes is not None and today not in {row.day for row in used}:
                used.append(Used(today, store.used_bytes, store.total_bytes))
            if used:
                yield self._filling(store, used)

    def _filling(self, store: StoreStatus, used: Sequence[Used]) -> Chart:
        # A forecast for years ahead would flatten what was.
        near = store.full_on if store.full_on and (store.full_on - used[-1].day).days < _NEAR_DAYS else None
        drawn = course(used, near)
        full = f" {store.forecast}" if store.forecast else ""
        ahead = " The dashed part is the forecast." if drawn.ahead else ""
        return Chart(
            key=f"room-{store.store}",
            title=f"How full {PLACES[store.store]} is",
            text=f"{bytes_text(used[-1].used)} are used on {used[-1].day}, {bytes_text(used[0].used)} on "
            f"{used[0].day}, everything else there included.{full}{ahead}",
            top=bytes_text(drawn.top),
            begin=str(used[0].day),
            end=str(drawn.last_day),
            line=drawn.line,
            ahead=drawn.ahead,
        )

    # -- words -----------------------------------------------------------------------------------------------

    def _at(self, moment: datetime) -> str:
        return text_of(moment, self._config)

    def _day(self, moment: datetime) -> str:
        return str(moment.astimezone(zone(self._config.timezone)).date())


_NEAR_DAYS = 365
_FAILED = ["when", "verb", "outcome", "why"]
_DECIDED = ["backup", "what happens to it", "why"]


def _place(store: StoreStatus) -> str:
    place = PLACES[store.store]
    return place[0].upper() + place[1:]


def _wrong(store: StoreStatus) -> str:
    found = [store.problem, store.access_problem]
    found += [f"{name} disappeared" for name in store.missing]
    found += [f"{name} cannot be read" for name in store.unreadable]
    found += [f"{name} is incomplete" for name in store.incomplete]
    return "; ".join(text for text in found if text) or "nothing"


def _remarks(backup: Backup) -> Iterator[str]:
    if backup.label:
        yield backup.label
    if backup.warnings:
        yield _count(backup.warnings, "warning")


def _compared(drill: Drill) -> str:
    said = [f"{drill.tables} tables, {drill.rows} rows", f"{drill.files} files ({bytes_text(drill.bytes)})"]
    if drill.attachments:
        said.append(f"{drill.attachments} attachments")
    if drill.app is not None:
        said.append(f"app {drill.app}")
    return "; ".join(said)


def _decided(report: Report) -> Iterator[tuple[str, str, str]]:
    """(backup, what happens to it, why), newest first."""
    in_need = {decision.name: decision for decision in report.in_need}
    for decision in report.plan.decisions if report.plan is not None else ():
        final = in_need.get(decision.name, decision)
        words = {"keep": "stays", "remove": "goes with the next pruning", "held back": "goes later"}
        yield final.name, words[final.action], final.reason


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
