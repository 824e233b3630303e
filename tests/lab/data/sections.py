"""Many queries in one psql call: their outputs, told apart by marker lines, in one consistent snapshot.

Reaching a database on the Pi costs more than most queries do, so everything is asked at once and read as a
stream.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice

RunSql = Callable[[str], Iterable[bytes]]
"""Runs `psql {PSQL_OPTIONS} -c SQL` in the target's database and yields its standard output in pieces of any
size. It must raise when psql's exit status is not 0.
"""

PSQL_OPTIONS = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")

_MARK = b"\x1esection "
_END = "end"
_SETTINGS = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}


class ComparisonError(Exception):
    """The target could not be read, so nothing can be said about it."""


def sql(queries: Mapping[str, str]) -> str:
    """One script whose output `read` takes apart. queries: by section name, each to be wrapped in COPY."""
    statements = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
    statements += [f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items()]
    for name, query in [*queries.items(), (_END, "SELECT 1 WHERE false")]:
        statements.append(f"COPY (SELECT chr(30) || 'section {name}') TO STDOUT")
        statements.append(f"COPY ({query}) TO STDOUT")
    statements.append("COMMIT")
    return ";\n".join(statements)


def read(chunks: Iterable[bytes]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Section names with their lines, which must be consumed before the next section. Raises ComparisonError
    when the output ends before the last section.
    """
    name = ""

    def section_of(line: bytes) -> str:
        nonlocal name
        if line.startswith(_MARK):
            name = line.removeprefix(_MARK).decode()
        return name

    for section, rows in groupby(lines(chunks), section_of):
        if section != _END:
            yield section, islice(rows, 1, None)  # without the marker itself
    if name != _END:
        raise ComparisonError(f"psql's output ends early, in section {name or 'none'}")


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their newline."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
