"""Every way in which Drive and the network are known to misbehave: one rule each for the emulator.

`final` are refusals that do not pass by waiting: how often they strike makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.lab.drive.faults import means_something


@dataclass(frozen=True)
class Fault:
    """A rule of the emulator (tests/lab/drive/faults.py) without its place and its number of strikes."""

    name: str
    rule: dict[str, Any] = field(hash=False)
    final: bool = False


def _status(status: int, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"kind": "status", "status": status, "reason": reason, **more}


_PASSING = [
    _status(500, "internalError"),
    _status(503, "backendError"),
    _status(408),
    _status(429, "rateLimitExceeded", retry_after=1),
    _status(403, "rateLimitExceeded"),
    _status(403, "userRateLimitExceeded", retry_after=1),
]
_FINAL: list[dict[str, Any]] = [
    _status(400, "invalid"),
    _status(401, "authError"),
    _status(403, "dailyLimitExceeded"),
    _status(403, "storageQuotaExceeded"),
    _status(403, "teamDriveFileLimitExceeded"),
    _status(403, "numChildrenInNonRootLimitExceeded"),
    _status(403, "domainPolicy"),
    _status(403, "accessNotConfigured"),
    _status(403, "insufficientFilePermissions"),
    _status(403, "insufficientPermissions"),
    _status(403, "appNotAuthorizedToFile"),
    _status(404, "notFound"),
    _status(409, "conflict"),
    _status(410, "gone"),
    _status(412, "conditionNotMet"),
    {"kind": "invalid-grant"},
]
_CONNECTION: list[dict[str, Any]] = [
    {"kind": "drop-before-commit"},
    {"kind": "drop-before-commit", "after_bytes": 100},
    {"kind": "drop-before-commit", "after_bytes": 300_000},
    {"kind": "drop-after-commit"},
    {"kind": "commit-then-status", "status": 500},
    {"kind": "commit-then-status", "status": 503},
    {"kind": "latency", "seconds": 0.05},
    {"kind": "slow", "bytes_per_second": 20_000_000},
    {"kind": "unauthorized"},
]
_CONTENT: list[dict[str, Any]] = [
    {"kind": "partial", "keep": 0},
    {"kind": "partial", "keep": 300_000},
    {"kind": "missing-range"},
    {"kind": "expired-session"},
    {"kind": "corrupt"},
    {"kind": "truncate", "at": 0},
    {"kind": "truncate", "at": 300_000},
    {"kind": "truncate", "at": 300_000, "honest": True},
]
_LISTS: list[dict[str, Any]] = [{"kind": "hide", "seconds": 3600}, {"kind": "stale"}]
_STRANGERS: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("empty-json", "empty-array", "empty", "html", "latin-1", "wrong-types")),
    *({"kind": "html", "status": status} for status in (302, 401, 403, 404, 407, 410, 416, 511)),
]


def _name(rule: dict[str, Any]) -> str:
    more = " ".join(str(value) for key, value in rule.items() if key not in ("kind", "retry_after") and value)
    after = ", with Retry-After" if "retry_after" in rule else ""
    return f"{rule['kind']} {more}".strip() + after


FAULTS = [
    *(Fault(_name(rule), rule, final=True) for rule in _FINAL),
    *(Fault(_name(rule), rule) for rule in (*_PASSING, *_CONNECTION, *_CONTENT, *_LISTS, *_STRANGERS)),
]
STRIKES: tuple[int | None, ...] = (1, 3, None)
"""Once, as often as patience lasts, and for ever."""


def strikes_at(fault: Fault, request: str) -> bool:
    """Whether the fault means anything at this kind of request."""
    return means_something(fault.rule["kind"], request)
