"""Is a target (a database and its app-data directories) what the seed and the ledger say? Everything that
differs is named.

    compare(spec, run_sql, list_files)

The database is read first and the files second, so that a ledger may even be running: its files precede its
rows.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from . import ledger_check, sections, structure
from .archive import file_facts
from .entries import BLOBS_QUERY, FileDifference, broken, compare_files, is_ledgers, parse_blobs
from .files import FileFact
from .ledger_check import Ledger, LedgerReader
from .rows import RowDifference, TableComparison, all_missing, compare_rows
from .sections import RunSql
from .spec import Spec
from .tables import TABLES

ListFiles = Callable[[], Iterable[FileFact]]


@dataclass(frozen=True)
class Comparison:
    """tables, rows, files: how many the seed has (files: regular ones). rows_differing counts all,
    row_differences are the first of each table. structure: sentences about tables, columns, indexes,
    constraints, extensions, sequences, the view. attachments: rows of active_storage_blobs with a local
    file, seeded and the ledger's. ledger: see Ledger.
    """

    tables: int
    rows: int
    rows_differing: int
    tables_differing: tuple[str, ...]
    row_differences: tuple[RowDifference, ...]
    structure: tuple[str, ...]
    files: int
    files_differing: tuple[FileDifference, ...]
    attachments: int
    attachments_broken: tuple[str, ...]
    ledger: Ledger

    @property
    def equal(self) -> bool:
        return not any(self.differences())

    def differences(self) -> Iterator[str]:
        """Every difference as a line for a person."""
        yield from self.structure
        yield from map(str, self.row_differences)
        if self.rows_differing > len(self.row_differences):
            yield f"… {self.rows_differing} rows differ in all"
        yield from map(str, self.files_differing)
        yield from self.attachments_broken
        if not (self.ledger.gap_free and self.ledger.agrees):
            yield from (f"ledger: {detail}" for detail in self.ledger.details)


def compare(spec: Spec, run_sql: RunSql, list_files: ListFiles) -> Comparison:
    """run_sql: see sections.RunSql. list_files: entries below storage, uploads, files and plugins, such as
    entries.parse_walk gives. Raises ComparisonError, or what the two raise, when the target cannot be
    read.
    """
    relations = _relations(run_sql)
    sentences = list(structure.relation_differences(relations))
    readable = {table.name for table in TABLES if set(table.columns) <= set(relations.get(table.name, ()))}
    tables: dict[str, TableComparison] = {}
    answers: dict[str, list[bytes]] = {}
    entries = LedgerReader()
    by_name = {table.name: table for table in TABLES}
    for section, lines in sections.read(run_sql(sections.sql(_queries(readable, relations)))):
        if section in by_name:
            tables[section] = compare_rows(by_name[section], spec, lines)
        elif section in ledger_check.QUERIES:
            entries.read(section, lines)
        else:
            answers[section] = list(lines)
    for name in by_name.keys() - tables.keys():
        tables[name] = all_missing(by_name[name], spec)
    wanted = structure.wanted(spec, {name: result.rows for name, result in tables.items()})
    for section in structure.QUERIES:
        if section in answers:
            sentences += structure.section_differences(section, wanted[section], answers[section])

    found = {fact.path: fact for fact in list_files()}
    ledgers = {path: fact for path, fact in found.items() if is_ledgers(path)}
    seeded = {path: fact for path, fact in found.items() if path not in ledgers}
    facts = file_facts(spec)
    blobs = parse_blobs(answers.get("blobs", []))
    wrong = [sentence for sentence in (broken(blob, found) for blob in blobs) if sentence]
    return Comparison(
        tables=len(TABLES),
        rows=sum(result.rows for result in tables.values()),
        rows_differing=sum(result.differing for result in tables.values()),
        tables_differing=tuple(table.name for table in TABLES if tables[table.name].differing),
        row_differences=tuple(example for table in TABLES for example in tables[table.name].examples),
        structure=tuple(sentences),
        files=sum(fact.type == "file" for fact in facts.values()),
        files_differing=tuple(compare_files(facts, seeded)),
        attachments=len(blobs),
        attachments_broken=tuple(wrong),
        ledger=entries.finish(ledgers),
    )


def _relations(run_sql: RunSql) -> dict[str, tuple[str, ...]]:
    columns: dict[str, list[str]] = {}
    for _, lines in sections.read(run_sql(sections.sql({"columns": structure.COLUMNS_QUERY}))):
        for line in lines:
            relation, column = line.decode().split("\t")
            columns.setdefault(relation, []).append(column)
    return {name: tuple(found) for name, found in columns.items()}


def _queries(readable: set[str], relations: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Whatever can be asked: a table that is gone must not keep the others from being compared."""
    queries = {
        name: query
        for name, query in structure.QUERIES.items()
        if structure.NEEDS.get(name, "users") in relations or name not in structure.NEEDS
    }
    queries |= {table.name: table.select() for table in TABLES if table.name in readable}
    if "active_storage_blobs" in readable:
        queries["blobs"] = BLOBS_QUERY
    needed = {
        *ledger_check.TABLES,
        "comments",
        "topics",
        "active_storage_blobs",
        "active_storage_attachments",
    }
    if needed <= relations.keys():
        queries |= ledger_check.QUERIES
    return queries
