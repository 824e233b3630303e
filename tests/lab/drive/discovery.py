"""Drive's own description of its methods: which paths exist, and which query parameters each of them takes.

The document is the one that google-api-python-client ships, so a client that sends something Drive does not
know is refused here too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from googleapiclient.discovery_cache import get_static_doc

from .errors import ApiError
from .fields import Schemas

_TRUTH = ("true", "false")


@dataclass(frozen=True)
class Method:
    """One method of the API, for example drive.files.create."""

    id: str
    http_method: str
    pattern: re.Pattern[str]
    literal: bool
    parameters: Mapping[str, Mapping[str, Any]]
    uploads: bool


class Api:
    """The parsed discovery document."""

    def __init__(self) -> None:
        text = get_static_doc("drive", "v3")
        if text is None:
            raise RuntimeError(
                "googleapiclient has no discovery document of Drive v3; install google-api-python-client ≥ 2"
            )
        document = json.loads(text)
        self._common: Mapping[str, Mapping[str, Any]] = document["parameters"]
        self._methods = sorted(_methods(document), key=lambda method: not method.literal)
        self.schemas = Schemas(document["schemas"])
        self.file_fields = frozenset(document["schemas"]["File"]["properties"])

    def route(self, http_method: str, path: str) -> tuple[Method, dict[str, str], bool]:
        """(method, path parameters, whether it came to an upload address); ApiError 404 for an unknown
        address.
        """
        upload = re.fullmatch(r"(?:/resumable)?/upload/drive/v3/(.+)", path)
        plain = re.fullmatch(r"/drive/v3/(.+)", path)
        found = upload or plain
        for method in self._methods if found else ():
            assert found is not None
            match = method.pattern.fullmatch(found.group(1))
            if match and method.http_method == http_method and (method.uploads or not upload):
                return method, match.groupdict(), bool(upload)
        raise ApiError(404, f"The requested URL {path} was not found on this server.", "notFound")

    def check_query(self, method: Method, query: Mapping[str, str], upload: bool) -> None:
        """ApiError 400 for a parameter that the method does not have, or a value of the wrong type."""
        known = {**self._common, **method.parameters}
        for name, value in query.items():
            if upload and name == "upload_id":
                continue
            if name not in known or known[name].get("location") != "query":
                message = (
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
                )
                raise ApiError(400, message, "badRequest", name)
            _check_value(name, value, known[name])


def _check_value(name: str, value: str, schema: Mapping[str, Any]) -> None:
    wrong = ApiError(400, f"Invalid value '{value}' for parameter {name}.", "invalidParameter", name)
    if schema.get("type") == "boolean" and value not in _TRUTH:
        raise wrong
    if schema.get("type") == "integer":
        if not re.fullmatch(r"-?\d+", value):
            raise wrong
        if int(value) < int(schema.get("minimum", value)):
            raise wrong
    if "enum" in schema and value not in schema["enum"]:
        raise wrong


def _methods(resource: Mapping[str, Any]) -> Iterator[Method]:
    for raw in resource.get("methods", {}).values():
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(raw.get("flatPath") or raw["path"]))
        yield Method(
            raw["id"].removeprefix("drive."),
            raw["httpMethod"],
            re.compile(pattern),
            "{" not in raw["path"],
            raw.get("parameters", {}),
            "mediaUpload" in raw,
        )
    for child in resource.get("resources", {}).values():
        yield from _methods(child)
