"""The `fields` parameter: parse a partial-response mask, check it against the API's schema, project an
answer.

Syntax (https://developers.google.com/workspace/drive/api/guides/fields-parameter): `a,b/c,d(e,f/g),*`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ApiError

Mask = dict[str, "Mask | None"]  # None: everything below

_NAME = re.compile(r"\s*([A-Za-z0-9_-]+|\*)\s*")


def _bad(what: str) -> ApiError:
    return ApiError(400, f"Invalid field selection {what}", "invalidParameter", "fields")


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def whole(self) -> Mask:
        mask = self._list()
        if self._place != len(self._text):
            raise _bad(self._text[self._place :])
        return mask

    def _at(self, sign: str) -> bool:
        if self._text[self._place : self._place + 1] == sign:
            self._place += 1
            return True
        return False

    def _list(self) -> Mask:
        mask: Mask = {}
        while True:
            name, below = self._entry()
            _merge(mask, name, below)
            if not self._at(","):
                return mask

    def _entry(self) -> tuple[str, Mask | None]:
        match = _NAME.match(self._text, self._place)
        if match is None:
            raise _bad(self._text[self._place :] or self._text)
        self._place = match.end()
        if self._at("/"):
            name, below = self._entry()
            return match.group(1), {name: below}
        if self._at("("):
            below = self._list()
            if not self._at(")"):
                raise _bad(self._text)
            while self._text[self._place : self._place + 1] == " ":
                self._place += 1
            return match.group(1), below
        return match.group(1), None


def _merge(mask: Mask, name: str, below: Mask | None) -> None:
    if name not in mask:
        mask[name] = below
        return
    there = mask[name]
    if there is None or below is None:
        mask[name] = None
        return
    for child, deeper in below.items():
        _merge(there, child, deeper)


@dataclass(frozen=True)
class Schemas:
    """The `schemas` of a discovery document, for checking masks against a resource's shape."""

    schemas: Mapping[str, Any]

    def parse(self, text: str, resource: str) -> Mask:
        """The mask for a resource such as "File"; raises ApiError 400 for a field that it does not have."""
        mask = _Reader(text).whole()
        self._check(mask, self.schemas[resource])
        return mask

    def _check(self, mask: Mask, schema: Mapping[str, Any]) -> None:
        shape = self._resolve(schema)
        for name, below in mask.items():
            if (
                name != "*"
                and "additionalProperties" not in shape
                and name not in shape.get("properties", {})
            ):
                raise _bad(name)
            if below is None:
                continue
            child = shape.get("properties", {}).get(name) or shape.get("additionalProperties") or shape
            self._check(below, child)

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while True:
            if "$ref" in schema:
                schema = self.schemas[schema["$ref"]]
            elif schema.get("type") == "array":
                schema = schema["items"]
            else:
                return schema


def project(value: Any, mask: Mask | None) -> Any:
    """Keep of a JSON value what the mask names; lists are projected item by item."""
    if mask is None:
        return value
    if isinstance(value, list):
        return [project(item, mask) for item in value]
    if not isinstance(value, dict):
        return value
    if "*" in mask:
        star = mask["*"]
        return {name: project(item, mask.get(name, star)) for name, item in value.items()}
    return {name: project(item, mask[name]) for name, item in value.items() if name in mask}
