"""What Google's refusals mean: the table of statuses and reasons, read as a person will see it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from loomio_backup import clock
from loomio_backup.errors import StoreAuth, StoreError, StoreFull, StoreUnavailable
from loomio_backup.stores.drive_errors import Refused, dead_token, refusal, sentence
from loomio_backup.stores.patience import Backoff, Patience


def _answer(status: int, reason: str = "", retry_after: str | None = None) -> Refused:
    error = {"code": status, "message": "words", "errors": [{"reason": reason, "domain": "global"}]}
    return refusal(status, json.dumps({"error": error}).encode(), retry_after)


@pytest.mark.parametrize(
    ("status", "reason", "passing"),
    [
        (500, "internalError", True),
        (502, "", True),
        (503, "backendError", True),
        (408, "", True),
        (429, "rateLimitExceeded", True),
        (403, "rateLimitExceeded", True),
        (403, "userRateLimitExceeded", True),
        (302, "", True),
        (403, "dailyLimitExceeded", False),
        (403, "storageQuotaExceeded", False),
        (403, "insufficientFilePermissions", False),
        (401, "authError", False),
        (404, "notFound", False),
        (409, "fileIdInUse", False),
        (416, "requestedRangeNotSatisfiable", False),
        (400, "badRequest", False),
    ],
)
def test_what_passes_by_itself(status: int, reason: str, passing: bool) -> None:
    assert _answer(status, reason).passing is passing


@pytest.mark.parametrize(
    ("status", "reason", "kind", "phrase"),
    [
        (403, "storageQuotaExceeded", StoreFull, "no room left"),
        (403, "teamDriveFileLimitExceeded", StoreFull, "use another shared drive"),
        (403, "numChildrenInNonRootLimitExceeded", StoreFull, "use another folder"),
        (401, "authError", StoreAuth, "Authorise again"),
        (403, "insufficientFilePermissions", StoreAuth, "Contributor"),
        (403, "insufficientPermissions", StoreAuth, "drive.file"),
        (403, "domainPolicy", StoreAuth, "ask its administrator"),
        (403, "accessNotConfigured", StoreAuth, "Enable the Google Drive API"),
        (403, "appNotAuthorizedToFile", StoreAuth, "leave backup.drive.folder_id out"),
        (403, "dailyLimitExceeded", StoreUnavailable, "within 24 hours; the next run tries again"),
        (403, "downloadQuotaExceeded", StoreUnavailable, "as often as Drive allows"),
        (400, "invalid", StoreError, "400 invalid: words"),
    ],
)
def test_the_sentence(status: int, reason: str, kind: type[StoreError], phrase: str) -> None:
    error = sentence("storing x in Drive", _answer(status, reason))
    assert type(error) is kind
    assert phrase in str(error)
    assert "storing x in Drive" in str(error)
    assert "untouched" in str(error)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b"{}",
        b"[]",
        b'{"error": "invalid"}',
        b'{"error": {"errors": []}}',
        b"\xff",
    ],
)
def test_answers_that_are_not_drives(content: bytes) -> None:
    refused = refusal(502, content, None)
    assert refused.passing
    assert refused.reason == ""
    assert "<" not in refused.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410])
def test_a_refusal_in_other_words_than_drives_is_somebody_elses(status: int) -> None:
    assert refusal(status, b"<html>Please log in</html>", None).foreign
    assert refusal(status, b"<html>Please log in</html>", None).passing
    assert not _answer(status).foreign


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, None), ("soon", None), ("", None)])
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert _answer(429, "", header).retry_after == seconds


def test_retry_after_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC))
    assert _answer(429, "", "Mon, 23 Nov 2026 02:00:30 GMT").retry_after == 30
    assert _answer(429, "", "Mon, 23 Nov 2026 01:00:00 GMT").retry_after == 0


def test_dead_tokens_name_their_cause() -> None:
    assert "invalid_grant: Token has been expired" in str(
        dead_token("invalid_grant", "Token has been expired")
    )
    assert "publish it" in str(dead_token("invalid_grant", "Token has been expired"))
    assert "client_secret" in str(dead_token("invalid_client", "Unauthorized"))
    assert "delegation" in str(dead_token("unauthorized_client", "no"))


def test_patience_is_bounded_and_renewed_by_progress() -> None:
    patience = Patience(Backoff(first=0.0, longest=0.0, tries=3), "storing x")
    for _ in range(5):
        patience.failed("reset")
        patience.failed("reset")
        patience.succeeded()
    patience.failed("reset")
    patience.failed("reset")
    with pytest.raises(StoreUnavailable, match="storing x failed 3 times, last with: reset"):
        patience.failed("reset")
