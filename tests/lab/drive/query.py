"""The language of files.list's `q`: a tokenizer, a parser, and predicates over files.

Reference: https://developers.google.com/workspace/drive/api/guides/ref-search-terms (terms, operators,
escapes). `and` and `or` have equal weight and are taken from left to right; parentheses group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .errors import ApiError, invalid

Predicate = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^'\\]|\\.)*')
      | (?P<word>[A-Za-z][A-Za-z0-9_]*)
      | (?P<sign><=|>=|!=|=|<|>|\(|\)|\{|\})
    )""",
    re.VERBOSE | re.DOTALL,
)

_OPERATORS: dict[str, frozenset[str]] = {
    "name": frozenset({"contains", "=", "!="}),
    "fullText": frozenset({"contains"}),
    "mimeType": frozenset({"contains", "=", "!="}),
    "modifiedTime": frozenset({"<=", "<", "=", "!=", ">", ">="}),
    "viewedByMeTime": frozenset({"<=", "<", "=", "!=", ">", ">="}),
    "createdTime": frozenset({"<=", "<", "=", "!=", ">", ">="}),
    "sharedWithMe": frozenset({"=", "!="}),
    "trashed": frozenset({"=", "!="}),
    "starred": frozenset({"=", "!="}),
    "visibility": frozenset({"=", "!="}),
    "properties": frozenset({"has"}),
    "appProperties": frozenset({"has"}),
}
_COLLECTIONS = frozenset({"parents", "owners", "writers", "readers"})
_BOOLEANS = frozenset({"sharedWithMe", "trashed", "starred"})
_TIMES = frozenset({"modifiedTime", "viewedByMeTime", "createdTime"})


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def _bad(why: str) -> ApiError:
    return invalid("q", f"Invalid Value: {why}")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise _bad(f"cannot read {text[position : position + 20]!r}")
        kind = match.lastgroup or ""
        value = match.group(kind)
        if kind == "string":
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        found.append(_Token(kind, value))
        position = match.end()
    return found


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad(f"{text!r} is not an RFC 3339 time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _word_starts(text: str, prefix: str) -> bool:
    """`contains` on a name matches at the start of the name or of one of its words, never inside a word."""
    haystack, needle = text.casefold(), prefix.casefold()
    starts = [0, *(match.end() for match in re.finditer(r"[^0-9A-Za-z\u0080-\U0010ffff]+|_+", haystack))]
    return any(haystack.startswith(needle, start) for start in starts)


class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def whole(self) -> Predicate:
        predicate = self._expression()
        if self._next != len(self._tokens):
            raise _bad(f"unexpected {self._tokens[self._next].text!r}")
        return predicate

    def _peek(self, *texts: str, ahead: int = 0) -> bool:
        place = self._next + ahead
        return (
            place < len(self._tokens)
            and self._tokens[place].kind != "string"
            and self._tokens[place].text in texts
        )

    def _take(self, what: str, *kinds: str) -> _Token:
        if self._next >= len(self._tokens) or self._tokens[self._next].kind not in kinds:
            raise _bad(f"expected {what}")
        self._next += 1
        return self._tokens[self._next - 1]

    def _expect(self, text: str) -> None:
        if not self._peek(text):
            raise _bad(f"expected {text!r}")
        self._next += 1

    def _expression(self) -> Predicate:
        left = self._unary()
        while self._peek("and", "or"):
            both = self._take("and or or", "word").text == "and"
            left = _join(left, self._unary(), both)
        return left

    def _unary(self) -> Predicate:
        if self._peek("not"):
            self._next += 1
            inner = self._unary()
            return lambda file: not inner(file)
        if self._peek("("):
            self._next += 1
            inner = self._expression()
            self._expect(")")
            return inner
        return self._term()

    def _term(self) -> Predicate:
        first = self._take("a term", "word", "string")
        if first.kind == "string":
            self._expect("in")
            return _membership(first.text, self._take("a collection", "word").text)
        if first.text == "sharedWithMe" and not self._peek("=", "!="):
            return lambda file: bool(file["sharedWithMe"])
        if first.text not in _OPERATORS:
            raise _bad(f"unknown term {first.text!r}")
        operator = self._take("an operator", "word", "sign").text
        if operator not in _OPERATORS[first.text]:
            raise _bad(f"{first.text} does not understand {operator!r}")
        if operator == "has":
            return self._has(first.text)
        value = self._take("a value", "word", "string")
        return _comparison(first.text, operator, value)

    def _has(self, field: str) -> Predicate:
        self._expect("{")
        self._expect("key")
        self._expect("=")
        key = self._take("a key", "string").text
        self._expect("and")
        self._expect("value")
        self._expect("=")
        value = self._take("a value", "string").text
        self._expect("}")
        return lambda file: file[field].get(key) == value


def _join(left: Predicate, right: Predicate, both: bool) -> Predicate:
    if both:
        return lambda file: left(file) and right(file)
    return lambda file: left(file) or right(file)


def _membership(value: str, collection: str) -> Predicate:
    if collection not in _COLLECTIONS:
        raise _bad(f"unknown collection {collection!r}")
    return lambda file: value in file[collection]


def _comparison(field: str, operator: str, value: _Token) -> Predicate:
    if field in _BOOLEANS:
        if value.kind != "word" or value.text not in ("true", "false"):
            raise _bad(f"{field} is true or false")
        wanted = (value.text == "true") == (operator == "=")
        return lambda file: bool(file[field]) is wanted
    if value.kind != "string":
        raise _bad(f"{field} needs a quoted value")
    text = value.text
    if field in _TIMES:
        moment = _moment(text)
        return lambda file: file[field] is not None and _ordered(file[field], operator, moment)
    if operator == "contains":
        if field == "mimeType":
            return lambda file: file[field].startswith(text)
        return lambda file: _word_starts(file["name"], text)
    equal = operator == "="
    # Drive compares names without regard to case; a client that needs the exact name has to look itself.
    return lambda file: (file[field].casefold() == text.casefold()) is equal


def _ordered(left: datetime, operator: str, right: datetime) -> bool:
    match operator:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case ">=":
            return left >= right
        case "!=":
            return left != right
        case _:
            return left == right


def mentioned_parents(text: str) -> set[str]:
    """Every id that `q` asks about as a parent: Drive answers 404 when one of them does not exist."""
    tokens = _tokens(text)
    return {
        first.text
        for first, second, third in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if first.kind == "string" and (second.text, third.text) == ("in", "parents")
    }


def compile_query(text: str) -> Predicate:
    """Turn `q` into a predicate; an empty `q` accepts every file.

    The predicate reads a mapping with: name, mimeType, modifiedTime, createdTime, viewedByMeTime (datetime or
    None), trashed, starred, sharedWithMe, visibility, parents, owners, writers, readers (collections of str),
    properties, appProperties. Raises ApiError 400 for anything that Drive would refuse.
    """
    tokens = _tokens(text)
    if not tokens:
        return lambda file: True
    return _Parser(tokens).whole()
