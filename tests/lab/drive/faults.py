"""Failures on demand: rules that match requests and make the emulator misbehave as Drive and the network do.

A rule is JSON: {"kind": …, "match": {…}, "times": 1, "skip": 0, …}. `match` may hold `operation` (glob, such
as "upload.chunk", "download", "files.*", "token"), `method`, `path` (regular expression), `name` (glob on the
file's name), `upload` and `download` (true). `times` null means for ever; `skip` lets that many matching
requests pass first.

| kind | further keys | effect |
| --- | --- | --- |
| status | status, reason, retry_after | this answer instead of the work |
| drop-before-commit | after_bytes | the connection ends, before or within the body; nothing is committed |
| drop-after-commit | | the work is done, the connection ends without an answer |
| commit-then-status | status (default 500) | the work is done, the answer says it failed |
| partial | keep | an upload chunk of which only so many bytes (rounded to 256 KiB) were kept; 308 says so |
| missing-range | | nothing of the upload is kept any more: 308 without Range |
| expired-session | | the upload session is gone: 404 |
| unauthorized | | 401, and the access token is dead |
| invalid-grant | | the token endpoint refuses for good |
| hide | seconds | a created file is missing from lists that long |
| stale | | a list as it was a while ago: with files that were deleted since, without the newest |
| corrupt | | one byte in the middle is flipped: of the upload as stored, or of the download as sent |
| truncate | at, honest | the download ends early; `honest`: with a Content-Length that agrees |
| slow | bytes_per_second | both directions |
| latency | seconds | a pause before the work |
| empty-json, empty-array, empty | status (default 200) | `{}`, `[]` or no body at all instead of the work |
| html, latin-1 | status (default 200) | a login page instead of the work, in UTF-8 or Latin-1 |
| wrong-types | status (default 200) | JSON with the right keys, and values of wrong types |
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .errors import ApiError, ConnectionDropped, Nonsense, TokenError
from .exchange import Effects, Exchange

# What there is, and the options without which a rule makes no sense.
KINDS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "drop-before-commit": (),
    "drop-after-commit": (),
    "commit-then-status": (),
    "partial": ("keep",),
    "missing-range": (),
    "expired-session": (),
    "unauthorized": (),
    "invalid-grant": (),
    "hide": ("seconds",),
    "stale": (),
    "corrupt": (),
    "truncate": ("at",),
    "slow": ("bytes_per_second",),
    "latency": ("seconds",),
    "empty-json": (),
    "empty-array": (),
    "empty": (),
    "html": (),
    "latin-1": (),
    "wrong-types": (),
}
_PAGE = "<!DOCTYPE html><html><head><title>Café Zürich</title></head><body>Please log in</body></html>\n"
_WRONG_TYPES = {
    **{"access_token": 17, "expires_in": "soon", "token_type": None, "scope": []},
    **{"files": "none", "ids": 7, "nextPageToken": {}, "incompleteSearch": "no"},
    **{"id": 5, "name": ["x"], "size": "many", "trashed": "?", "createdTime": "yesterday", "mimeType": None},
}
_JSON = "application/json; charset=UTF-8"
# Answers in place of Drive's: media type and body.
_NONSENSE: dict[str, tuple[str, bytes]] = {
    "empty-json": (_JSON, b"{}"),
    "empty-array": (_JSON, b"[]"),
    "empty": ("application/octet-stream", b""),
    "html": ("text/html; charset=UTF-8", _PAGE.encode()),
    "latin-1": ("text/html; charset=ISO-8859-1", _PAGE.encode("latin-1")),
    "wrong-types": (_JSON, json.dumps(_WRONG_TYPES).encode()),
}
# Where a kind means something; a rule does not waste its strikes elsewhere. Others strike anywhere.
_PLACES = {
    "partial": ("upload.chunk",),
    "missing-range": ("upload.chunk",),
    "expired-session": ("upload.chunk",),
    "invalid-grant": ("token",),
    "hide": ("upload.*", "files.create"),
    "stale": ("files.list",),
    "corrupt": ("upload.chunk", "upload.multipart", "upload.media", "download"),
    "truncate": ("download",),
}
_MATCHERS = frozenset({"operation", "method", "path", "name", "upload", "download"})


def means_something(kind: str, operation: str) -> bool:
    """Whether a rule of this kind has an effect at such a request."""
    return any(fnmatchcase(operation, where) for where in _PLACES.get(kind, ("*",)))


@dataclass
class Rule:
    """One rule and how often it may still strike."""

    kind: str
    match: dict[str, Any]
    times: int | None = 1
    skip: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    struck: int = 0

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Rule:
        """From JSON; ApiError 400 for what makes no sense, so that no rule is silently idle."""
        options = dict(raw)
        kind, match = options.pop("kind", ""), options.pop("match", {})
        times, skip = options.pop("times", 1), options.pop("skip", 0)
        if kind not in KINDS:
            raise ApiError(400, f"Unknown kind {kind!r}; there are: {', '.join(sorted(KINDS))}.")
        if unknown := set(match) - _MATCHERS:
            raise ApiError(
                400, f"Unknown matcher {sorted(unknown)}; there are: {', '.join(sorted(_MATCHERS))}."
            )
        if missing := [name for name in KINDS[kind] if name not in options]:
            raise ApiError(400, f"A rule of kind {kind} needs: {', '.join(missing)}.")
        return cls(kind, match, times, skip, options)

    def fits(self, exchange: Exchange) -> bool:
        """Whether the rule is about this request, and has a meaning there."""
        if not means_something(self.kind, exchange.operation):
            return False
        uploads, downloads = exchange.operation.startswith("upload."), exchange.operation == "download"
        want = self.match
        return (
            fnmatchcase(exchange.operation, want.get("operation", "*"))
            and want.get("method", exchange.method) == exchange.method
            and re.search(want.get("path", ""), exchange.path) is not None
            and fnmatchcase(exchange.name, want.get("name", "*"))
            and want.get("upload", uploads) == uploads
            and want.get("download", downloads) == downloads
        )

    def take(self) -> bool:
        """Count a fitting request; whether the rule strikes at it."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True

    def summary(self) -> dict[str, Any]:
        """For GET /_lab/faults."""
        return {
            "kind": self.kind,
            "match": self.match,
            "times": self.times,
            "skip": self.skip,
            "struck": self.struck,
        }


class Faults:
    """The rules in force."""

    def __init__(
        self, end_token: Callable[[Exchange], None], end_session: Callable[[Exchange], None]
    ) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._end_token = end_token
        self._end_session = end_session
        self._calm = threading.Event()

    def add(self, raw: dict[str, Any]) -> None:
        """Put a rule in force."""
        rule = Rule.parse(raw)
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Behave again, at once: whoever is being kept waiting goes on."""
        with self._lock:
            self._rules.clear()
            self._calm.set()
            self._calm = threading.Event()

    def summary(self) -> list[dict[str, Any]]:
        """The rules and how often each struck."""
        with self._lock:
            return [rule.summary() for rule in self._rules]

    def strike(self, exchange: Exchange) -> None:
        """Apply every rule that fits: raise what ends the request now, note in `effects` what comes later."""
        with self._lock:
            rules = [rule for rule in self._rules if rule.fits(exchange) and rule.take()]
        exchange.effects.names += [rule.kind for rule in rules]
        for rule in sorted(rules, key=lambda rule: rule.kind != "latency"):
            self._apply(rule, exchange, exchange.effects)

    def _apply(self, rule: Rule, exchange: Exchange, effects: Effects) -> None:
        options = rule.options
        match rule.kind:
            case "latency":
                self._calm.wait(float(options["seconds"]))
            case "slow":
                effects.bytes_per_second = exchange.body.bytes_per_second = int(options["bytes_per_second"])
            case "status":
                raise _status_error(options)
            case "invalid-grant":
                raise TokenError(400, "Token has been expired or revoked.", "invalid_grant")
            case "unauthorized":
                self._end_token(exchange)
                raise ApiError(401, "Invalid Credentials", "authError")
            case "expired-session":
                self._end_session(exchange)
            case "drop-before-commit":
                if not options.get("after_bytes"):
                    raise ConnectionDropped
                exchange.body.cut_after = int(options["after_bytes"])
            case "drop-after-commit":
                effects.drop_answer = True
            case "commit-then-status":
                effects.status_after = int(options.get("status", 500))
            case "partial":
                effects.keep_bytes = int(options["keep"])
            case "missing-range":
                effects.keep_bytes = -1
            case "hide":
                effects.hide_seconds = float(options["seconds"])
            case "stale":
                effects.stale = True
            case "corrupt":
                effects.corrupt = True
            case kind if kind in _NONSENSE:
                media_type, body = _NONSENSE[kind]
                headers = {"Content-Type": media_type}
                raise Nonsense(int(options.get("status", 200)), kind, headers=headers, content=body)
            case "truncate":
                effects.truncate_at, effects.honest_length = int(options["at"]), bool(options.get("honest"))


def _status_error(options: dict[str, Any]) -> ApiError:
    headers = {"Retry-After": str(options["retry_after"])} if "retry_after" in options else {}
    status = int(options["status"])
    message = str(options.get("message", f"Injected failure {status}"))
    return ApiError(status, message, str(options.get("reason", "")), headers=headers)
