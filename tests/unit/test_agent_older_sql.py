"""What is seen in the SQL of an older backup before any of it runs, however it is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomio_backup.restore.older_sql import Survey

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


def test_a_cut_between_two_tables_is_not_complete() -> None:
    for end in (b"COPY public.things", b"COPY public.things (id) FROM", b"-- PostgreSQL database dump comp"):
        assert not surveyed(WHOLE[: WHOLE.index(end)]).complete
        assert not surveyed(WHOLE[: WHOLE.index(end) + len(end)]).complete


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
