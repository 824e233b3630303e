"""The data set's database as a psql script, and as checksums."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

from .spec import Spec
from .table import Table
from .tables import TABLES

_BATCH = 500


@dataclass(frozen=True)
class TableFact:
    """sha256: of the table's rows as COPY's text, in the key's order."""

    rows: int
    sha256: str


def write_sql(spec: Spec, out: IO[bytes]) -> None:
    """Fills an existing, empty schema in one transaction. For `psql -X -f -`; it stops at the first error."""
    out.write(b"\\set ON_ERROR_STOP on\n\\set QUIET on\nSET client_encoding = 'UTF8';\nBEGIN;\n")
    # pg_dump's own choice: dumps are restored in any session, whatever its settings.
    out.write(b"SET LOCAL datestyle = 'ISO, YMD';\nSET LOCAL timezone = 'UTC';\n")
    for table in TABLES:
        out.write(f"COPY public.{table.name} ({', '.join(table.columns)}) FROM stdin;\n".encode())
        last = 0
        for batch in batches(table.rows(spec)):
            last += len(batch)
            out.write(("\n".join(batch) + "\n").encode())
        out.write(b"\\.\n")
        position = sequence_position(table, last)
        if position:
            # As a DO block it prints nothing, whatever the session's settings.
            statement = f"PERFORM setval('public.{table.name}_id_seq', {position})"
            out.write(f"DO $$BEGIN {statement}; END$$;\n".encode())
    out.write(b"COMMIT;\nANALYZE;\n")


def table_facts(spec: Spec) -> dict[str, TableFact]:
    """What every seeded table holds, from the seed alone."""
    return {table.name: _fact(table, spec) for table in TABLES}


def sequence_position(table: Table, rows: int) -> int | None:
    """Where the table's sequence stands after loading; None when it has none, or was never used."""
    if not table.has_sequence:
        return None
    return table.far_ahead or rows or None


def batches(rows: Iterator[str]) -> Iterable[list[str]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _fact(table: Table, spec: Spec) -> TableFact:
    digest, count = hashlib.sha256(), 0
    for batch in batches(table.rows(spec)):
        count += len(batch)
        digest.update(("\n".join(batch) + "\n").encode())
    return TableFact(count, digest.hexdigest())
