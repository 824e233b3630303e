"""What is seen in the SQL of an older backup before any of it runs, however it is cut into pieces."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomio_backup.restore.older_sql import Survey
from loomio_backup.restore.restore_older import moment_of

WHOLE = rb"""-- PostgreSQL database dump
SET statement_timeout = 0;
CREATE TABLE public.users (id int, name text);
CREATE TABLE public.things (id int);
COPY public.users (id, name) FROM stdin;
1	A
2	\N
3	\\connect x
\.
COPY public.things (id) FROM stdin;
3
\.
-- PostgreSQL database dump complete
"""

SET = b"SELECT pg_catalog.setval('public.users_id_seq', 3, true);\n"


def surveyed(data: bytes, size: int = 1 << 20) -> Survey:
    survey = Survey()
    for start in range(0, len(data), size):
        survey.write(data[start : start + size])
    survey.end()
    return survey


@given(st.integers(1, 40))
def test_the_pieces_do_not_matter(size: int) -> None:
    found = surveyed(WHOLE, size)
    assert (found.tables, found.complete, found.within, found.leaves) == (2, True, None, None)


def test_every_cut_within_rows_is_seen() -> None:
    begins, ends = WHOLE.index(b"1\tA"), WHOLE.index(b"\\.\n")
    for cut in range(begins, ends + 1):
        assert surveyed(WHOLE[:cut]).within == "public.users", WHOLE[:cut]


@pytest.mark.parametrize("columns", [1, 10, 40, 400])
@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_cut_in_the_rows_of_a_wide_table_is_seen(columns: int, size: int) -> None:
    names = ", ".join(f"email_when_something_{number}" for number in range(columns))
    begun = f"COPY public.users ({names}) FROM stdin;\n".encode()
    assert surveyed(begun + b"1\tA\n", size).within == "public.users"
    found = surveyed(begun + b"DROP DATABASE x;\n\\.\n" + WHOLE, size)
    assert (found.tables, found.within, found.leaves, found.complete) == (3, None, None, True)


def test_a_cut_between_two_tables_or_before_a_sequence_is_seen() -> None:
    dump = WHOLE.replace(b"COPY", b"CREATE SEQUENCE public.users_id_seq\n    START WITH 1;\nCOPY", 1)
    dump = dump.replace(b"-- PostgreSQL database dump comp", SET + b"-- PostgreSQL database dump comp")
    for end in (b"COPY public.things", b"COPY public.things (id) FROM", b"SELECT pg_catalog.set"):
        for cut in (dump.index(end), dump.index(end) + len(end)):
            found = surveyed(dump[:cut])
            assert not found.complete
            assert found.unfilled > 0
    whole = surveyed(dump)
    assert (whole.unfilled, whole.within) == (0, None)


def test_a_file_of_the_older_scripts_is_all_there_though_its_last_words_are_not() -> None:
    found = surveyed((Path(__file__).parent / "vectors" / "loomio_backup_20240115_120000.sql").read_bytes())
    assert (found.complete, found.unfilled, found.within, found.tables) == (False, 0, None, 2)


@pytest.mark.parametrize(
    "line",
    [
        "\\connect loomio_production",
        "\\c loomio_production",
        "DROP DATABASE loomio_production;",
        "CREATE DATABASE loomio_production WITH TEMPLATE = template0;",
        "\\! rm -rf /",
    ],
)
def test_what_leaves_the_database_is_seen(line: str) -> None:
    assert surveyed(b"SET statement_timeout = 0;\n" + line.encode() + b"\n" + WHOLE).leaves == line


def test_the_same_words_in_rows_or_in_text_are_none() -> None:
    text = b"COPY t (a) FROM stdin;\nDROP DATABASE x;\n\\.\nINSERT INTO t VALUES (' DROP DATABASE x');\n"
    assert surveyed(text).leaves is None


def test_lines_of_any_length_are_looked_at_in_little_memory() -> None:
    survey = Survey()
    for _ in range(200):
        survey.write(b"x" * 100_000)
    assert len(survey._line) + len(survey._tail) <= 240


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACTIVE = datetime(2024, 1, 15, 9, 30, tzinfo=UTC)
WRITTEN = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "active", "moment"),
    [
        ("loomio_backup_20240115_120000.sql.enc", ACTIVE, datetime(2024, 1, 15, 12, tzinfo=UTC)),
        ("loomio_backup_20300101_000000.sql.enc", ACTIVE, NOW),
        ("loomio_backup_20249915_120000.sql.enc", ACTIVE, ACTIVE),
        ("from-the-old-laptop.sql.enc", ACTIVE, ACTIVE),
        ("from-the-old-laptop.sql.enc", NOW + timedelta(days=1), NOW),
        ("from-the-old-laptop.sql.enc", None, WRITTEN),
    ],
)
def test_how_much_is_lost_is_told_from_the_time_of_the_backup(
    tmp_path: Path, name: str, active: datetime | None, moment: datetime
) -> None:
    path = tmp_path / name
    path.touch()
    os.utime(path, (WRITTEN.timestamp(), WRITTEN.timestamp()))
    assert moment_of(path, active, NOW) == moment
