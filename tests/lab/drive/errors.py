"""Errors in the shape in which Google's servers report them, so that a real client reads them as it would
Google's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

_STATUS_REASONS = {
    400: "badRequest",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    410: "gone",
    412: "conditionNotMet",
    416: "requestedRangeNotSatisfiable",
    429: "rateLimitExceeded",
    500: "internalError",
    501: "notImplemented",
    503: "backendError",
}


@dataclass
class ApiError(Exception):
    """An answer other than success: HTTP status, Drive's machine-readable reason, and a sentence."""

    status: int
    message: str
    reason: str = ""
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The JSON that the Drive API sends with this status."""
        reason = self.reason or _STATUS_REASONS.get(self.status, "unknown")
        detail = {"domain": "global", "reason": reason, "message": self.message}
        if self.location:
            detail |= {"locationType": "parameter", "location": self.location}
        error = {"errors": [detail], "code": self.status, "message": self.message}
        return json.dumps({"error": error}, indent=1).encode()


@dataclass
class TokenError(ApiError):
    """A refusal of the token endpoint, which speaks OAuth's format instead of Drive's."""

    def body(self) -> bytes:
        """The JSON of RFC 6749, section 5.2."""
        return json.dumps({"error": self.reason, "error_description": self.message}).encode()


@dataclass
class Nonsense(ApiError):  # noqa: N818 - an answer, not a mistake
    """An answer that Google would never give, as it comes from whatever sits between a Pi and Google."""

    content: bytes = b""

    def body(self) -> bytes:
        """As it is."""
        return self.content


class ConnectionDropped(Exception):  # noqa: N818 - an event, not always a mistake
    """The connection ends here: the client went away, or a fault rule cuts it."""


def invalid(location: str, message: str = "Invalid Value") -> ApiError:
    """A parameter with a value that Drive refuses."""
    return ApiError(400, message, "invalid", location)


def not_found(file_id: str) -> ApiError:
    """A file that does not exist, or that the caller may not know of: Drive does not tell these apart."""
    return ApiError(404, f"File not found: {file_id}.", "notFound", "fileId")


def forbidden(message: str, reason: str = "insufficientFilePermissions") -> ApiError:
    """The caller may see the file but not do this to it."""
    return ApiError(403, message, reason)


def quota_exceeded(message: str = "The user's Drive storage quota has been exceeded.") -> ApiError:
    """No room; also what a service account hears that stores into somebody's My Drive."""
    return ApiError(403, message, "storageQuotaExceeded")
