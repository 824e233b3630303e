"""Values as PostgreSQL itself writes them in COPY's text format.

The generator's lines must be exactly what `COPY … TO STDOUT` gives back, so these follow the server's output
functions: jsonb and hstore put shorter keys first, tsvector sorts lexemes by bytes, timestamps lose trailing
zeros. Source of the rules: PostgreSQL 17's jsonb_util.c, hstore_io.c, tsvector.c, datetime.c, arrayfuncs.c,
copyto.c; the lab test that loads and reads back every table proves them.
"""

import json
import re
from collections.abc import Iterable, Mapping

NULL = r"\N"
_ESCAPES = str.maketrans(
    {"\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
)
_NEEDS_QUOTES = re.compile(r'^$|^null$|[{}",\\\s]', re.IGNORECASE)

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def text(value: str) -> str:
    return value.translate(_ESCAPES)


def bytea(value: bytes) -> str:
    return r"\\x" + value.hex()


def jsonb(value: Json) -> str:
    # Inside the JSON text only backslashes are special to COPY: json.dumps has escaped every control
    # character.
    return json.dumps(_ordered(value), ensure_ascii=False).replace("\\", r"\\")


def hstore(value: Mapping[str, str | None]) -> str:
    pairs = ", ".join(
        f"{_hstore_quoted(key)}=>{'NULL' if value[key] is None else _hstore_quoted(value[key] or '')}"
        for key in sorted(value, key=_shorter_first)
    )
    return text(pairs)


def tsvector(positions: Iterable[tuple[str, str]]) -> str:
    """positions: (lexeme, its positions such as "1A,7"), already in the order of the lexemes' UTF-8 bytes."""
    return text(" ".join(f"{_lexeme(word)}:{where}" for word, where in positions))


def array(values: Iterable[str]) -> str:
    return text("{" + ",".join(_element(value) for value in values) + "}")


def uuid(value: bytes) -> str:
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def second(whole: int, microseconds: int) -> str:
    """Seconds of a timestamp: "07", "07.5", "07.000001"."""
    return f"{whole:02}.{microseconds:06}".rstrip("0").rstrip(".") if microseconds else f"{whole:02}"


def _ordered(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=_shorter_first)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


def _shorter_first(key: str) -> tuple[int, bytes]:
    data = key.encode()
    return len(data), data


def _hstore_quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def _element(value: str) -> str:
    if not _NEEDS_QUOTES.search(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
