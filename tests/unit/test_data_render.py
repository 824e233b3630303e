"""PostgreSQL's renderings, as far as they can be told without a server; a lab test asks the server."""

import pytest

from tests.lab.data import render


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a\tb\nc\rd\be\ff\vg", r"a\tb\nc\rd\be\ff\vg"),
        ("\\N", r"\\N"),
        ("\x01\x7f", "\x01\x7f"),
    ],
)
def test_copy_escapes_what_copy_escapes(value: str, expected: str) -> None:
    assert render.text(value) == expected


def test_jsonb_puts_shorter_keys_first_and_keeps_unicode() -> None:
    value: render.Json = {"bb": 1, "a": [None, True, {"zz": "ü", "é": ""}], "ab": 'q"\\\n\x01'}
    assert render.jsonb(value) == (
        r'{"a": [null, true, {"zz": "ü", "é": ""}], "ab": "q\\"\\\\\\n\\u0001", "bb": 1}'
    )


def test_hstore_puts_shorter_keys_first_and_quotes_everything() -> None:
    value = {"key": None, "é": 'a"b\\', "a": ""}
    assert render.hstore(value) == r'"a"=>"", "é"=>"a\\"b\\\\", "key"=>NULL'


def test_tsvector_doubles_quotes() -> None:
    assert render.tsvector([("it's", "1A,7"), ("x", "3")]) == "'it''s':1A,7 'x':3"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), "{}"),
        (("a", "ä", "1"), "{a,ä,1}"),
        (("", "null", "a b", "a,b", "{", 'q"', "\\"), r'{"","null","a b","a,b","{","q\\"","\\\\"}'),
    ],
)
def test_array_quotes_only_what_needs_it(values: tuple[str, ...], expected: str) -> None:
    assert render.array(values) == expected


def test_seconds_lose_trailing_zeros() -> None:
    assert [render.second(7, part) for part in (0, 500_000, 120, 1)] == [
        "07",
        "07.5",
        "07.00012",
        "07.000001",
    ]


def test_bytea_and_uuid() -> None:
    assert render.bytea(b"\x00\xff") == r"\\x00ff"
    assert render.uuid(bytes(range(16))) == "00010203-0405-0607-0809-0a0b0c0d0e0f"
