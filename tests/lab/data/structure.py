"""Does the database still have its shape: tables, columns, indexes, constraints, extensions, sequences, the
view?

What there should be is read from the schema that the stand-in application creates.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from .people import member_counts
from .script import sequence_position
from .spec import Spec
from .tables import TABLES

SCHEMA = Path(__file__).parent.parent / "images" / "loomio" / "standin" / "schema.sql"

QUERIES = {
    "extensions": (
        "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY extname COLLATE \"C\""
    ),
    "indexes": (
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relnamespace = 'public'::regnamespace AND indisvalid AND NOT indisprimary"
        ' ORDER BY c.relname COLLATE "C"'
    ),
    "constraints": (
        "SELECT contype::text, count(*) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f', 'c') GROUP BY 1 ORDER BY 1"
    ),
    "uuid defaults": (
        "SELECT count(*) FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_default LIKE '%gen_random_uuid()%'"
    ),
    "migrations": 'SELECT version FROM public.schema_migrations ORDER BY version COLLATE "C"',
    "environment": "SELECT value FROM public.ar_internal_metadata WHERE key = 'environment'",
    "view": "SELECT * FROM public.group_member_counts WHERE group_id < 1500000000 ORDER BY group_id",
    "sequences": (
        "SELECT sequencename, last_value FROM pg_sequences"
        " WHERE schemaname = 'public' AND last_value IS NOT NULL ORDER BY sequencename COLLATE \"C\""
    ),
}
#: Queries that fail when the relation is missing, which is then reported once, as missing.
NEEDS = {
    "migrations": "schema_migrations",
    "environment": "ar_internal_metadata",
    "view": "group_member_counts",
}
COLUMNS_QUERY = (
    "SELECT table_name, column_name FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY table_name COLLATE \"C\", ordinal_position"
)


@lru_cache(maxsize=1)
def relations() -> dict[str, tuple[str, ...]]:
    """Tables of the schema with their columns, and its views without."""
    schema = SCHEMA.read_text()
    found: dict[str, tuple[str, ...]] = {}
    for name, body in re.findall(
        r"^CREATE TABLE public\.(\w+) \((.*?)^\);", schema, re.MULTILINE | re.DOTALL
    ):
        words = (line.split()[0] for line in body.strip().splitlines())
        found[name] = tuple(word for word in words if word not in ("CONSTRAINT", "PRIMARY"))
    views: list[str] = re.findall(r"^CREATE VIEW public\.(\w+)", schema, re.MULTILINE)
    found |= dict.fromkeys(views, ())
    return found


def relation_differences(actual: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Sentences about missing and extra tables, views and columns. actual: as `relations` gives them."""
    wanted = relations()
    for name in sorted(wanted.keys() | actual.keys()):
        if name in ("pg_stat_statements", "pg_stat_statements_info"):
            continue  # the extension's own views
        if name not in actual:
            yield f"table or view {name} is missing"
        elif name not in wanted:
            yield f"table or view {name} is extra"
        elif wanted[name] and wanted[name] != actual[name]:
            yield f"table {name} has other columns: {', '.join(actual[name])}"


def wanted(spec: Spec, rows: dict[str, int]) -> dict[str, list[str]]:
    """What the QUERIES should answer. rows: of every seeded table."""
    schema = SCHEMA.read_text()
    positions = {
        f"{table.name}_id_seq": sequence_position(table, rows[table.name])
        for table in TABLES
        if sequence_position(table, rows[table.name])
    }
    return {
        "extensions": sorted(re.findall(r"^CREATE EXTENSION IF NOT EXISTS (\w+)", schema, re.MULTILINE)),
        "indexes": sorted(re.findall(r"^CREATE (?:UNIQUE )?INDEX (\w+)", schema, re.MULTILINE)),
        "constraints": [
            f"c\t{len(re.findall(r'CHECK [(]', schema))}",
            f"f\t{len(re.findall(r'REFERENCES public', schema))}",
            f"p\t{len(re.findall(r'PRIMARY KEY', schema))}",
        ],
        "uuid defaults": [str(schema.count("DEFAULT public.gen_random_uuid()"))],
        "migrations": sorted(re.findall(r"'(\d{14})'", schema)),
        "environment": ["production"],
        "view": list(member_counts(spec)),
        "sequences": [f"{name}\t{positions[name]}" for name in sorted(positions)],
    }


def section_differences(section: str, wanted_lines: list[str], actual: Iterable[bytes]) -> Iterator[str]:
    """Sentences about one of the QUERIES."""
    found = [line.decode() for line in actual]
    for line in wanted_lines:
        if line not in found:
            yield f"{section}: {_shown(line)} is missing"
    for line in found:
        if line not in wanted_lines:
            yield f"{section}: {_shown(line)} is not as it was"


def _shown(line: str) -> str:
    return " ".join(line.split("\t"))
