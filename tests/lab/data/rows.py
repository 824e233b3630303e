"""Which rows of a table differ from the seed's: a merge of two ordered streams, in constant memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from .spec import Spec
from .table import Table

#: More examples than anybody reads.
EXAMPLES = 5


@dataclass(frozen=True)
class RowDifference:
    """columns: those that changed."""

    table: str
    key: str
    what: Literal["missing", "extra", "changed"]
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        columns = f" in {', '.join(self.columns)}" if self.columns else ""
        return f"{self.table} {self.key} {self.what}{columns}"


@dataclass
class TableComparison:
    """rows: how many the seed has. differing: how many are missing, extra or changed; examples: the first of
    them.
    """

    rows: int = 0
    differing: int = 0
    examples: list[RowDifference] = field(default_factory=list)

    def add(self, difference: RowDifference) -> None:
        self.differing += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(difference)


def compare_rows(table: Table, spec: Spec, actual: Iterable[bytes]) -> TableComparison:
    """actual: the lines of `COPY (table.select()) TO STDOUT`."""
    result = TableComparison()
    found = iter(actual)
    theirs = next(found, None)
    for ours in _counted(table.rows(spec), result):
        if theirs is not None and theirs == ours.encode():
            theirs = next(found, None)
            continue
        our_key = table.key_of(ours)
        while theirs is not None and _key(table, theirs) < our_key:
            result.add(RowDifference(table.name, _shown(_key(table, theirs)), "extra"))
            theirs = next(found, None)
        if theirs is None or _key(table, theirs) != our_key:
            result.add(RowDifference(table.name, _shown(our_key), "missing"))
            continue
        if theirs != ours.encode():
            columns = _changed(table, ours, theirs.decode())
            result.add(RowDifference(table.name, _shown(our_key), "changed", columns))
        theirs = next(found, None)
    while theirs is not None:
        result.add(RowDifference(table.name, _shown(_key(table, theirs)), "extra"))
        theirs = next(found, None)
    return result


def all_missing(table: Table, spec: Spec) -> TableComparison:
    """The comparison with a table that cannot be read because it, or a column of it, is gone."""
    return compare_rows(table, spec, ())


def _counted(rows: Iterator[str], result: TableComparison) -> Iterator[str]:
    for row in rows:
        result.rows += 1
        yield row


def _key(table: Table, line: bytes) -> tuple[int | bytes, ...]:
    return table.key_of(line.decode())


def _shown(key: tuple[int | bytes, ...]) -> str:
    return "/".join(part.decode() if isinstance(part, bytes) else str(part) for part in key)


def _changed(table: Table, ours: str, theirs: str) -> tuple[str, ...]:
    pairs = zip(table.columns, ours.split("\t"), theirs.split("\t"), strict=False)
    return tuple(column for column, our, their in pairs if our != their)
