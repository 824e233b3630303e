"""What Google's refusals mean for a backup: which pass by themselves, and what to tell a person about the
others.

Sources: https://developers.google.com/workspace/drive/api/guides/handle-errors, and the `reason` values
listed there.
"""

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from loomio_backup import clock
from loomio_backup.errors import StoreAuth, StoreError, StoreFull, StoreUnavailable

_PASSING_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
_FREE_SPACE = "Empty the trash of that account (it counts), free or buy space"
# Each followed by what to do; the sentence goes on with "then …".
_FULL_REASONS = {
    "storageQuotaExceeded": _FREE_SPACE,
    "quotaExceeded": _FREE_SPACE,
    "teamDriveFileLimitExceeded": "The shared drive holds as many files as Drive allows, its trash included: "
    "remove some, or use another shared drive (backup.drive.shared_drive_id)",
    "numChildrenInNonRootLimitExceeded": "The folder holds as many files as Drive allows: remove some, or "
    "use another folder (backup.drive.folder_name)",
}
_LATER_REASONS = {
    "dailyLimitExceeded": "the Google Cloud project of these credentials has used up its requests of the day",
    "downloadQuotaExceeded": "this file was downloaded as often as Drive allows in a day",
}
_ACCESS_REASONS = {
    "domainPolicy": "A policy of the account's organisation forbids it: ask its administrator to allow this "
    "app to use Drive, or use an account outside of it",
    "accessNotConfigured": "Enable the Google Drive API in the Google Cloud project of these credentials "
    "(console.cloud.google.com, APIs and services)",
    "appNotAuthorizedToFile": "With the scope drive.file an OAuth client may use only what it has made: use "
    "the client that made these backups (it is in the recovery kit), or leave backup.drive.folder_id out",
}
_ROLE_REASONS = frozenset({"insufficientFilePermissions", "forbidden", "cannotAddParent"})
_SCOPE_REASONS = frozenset(
    {"insufficientPermissions", "insufficientScopes", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
)
_UNTOUCHED = "What Drive already holds is untouched."
_AGAIN = (
    "type `loomio-pi authorize` (for a service account put new drive.credentials in with `loomio-pi secrets "
    "edit`), then run the setup deploy again"
)


@dataclass
class Refused(Exception):  # noqa: N818 - an answer, not a mishap
    """An HTTP answer other than success: status, Drive's `reason` (or ""), its message, seconds of
    Retry-After; `foreign` when it is not in the words that Drive uses for it, so that somebody else refused.
    """

    status: int
    reason: str
    message: str
    retry_after: float | None = None
    foreign: bool = False

    @property
    def passing(self) -> bool:
        """Whether trying again later is what Google asks for."""
        return (
            self.status >= 500
            or 300 <= self.status < 400  # a login page of some network in between; Drive does not redirect
            or self.status in (408, 429)
            or self.foreign  # else a login page's 404 would mean "your backups are gone"
            or (self.status == 403 and self.reason in _PASSING_REASONS)
        )

    @property
    def detail(self) -> str:
        """Status and reason, for brackets."""
        return f"{self.status} {self.reason}".strip()

    @property
    def about_role(self) -> bool:
        """Whether it is the account's role in the folder that does not suffice."""
        return self.status == 403 and (self.reason in _ROLE_REASONS or not self.reason)


def refusal(status: int, content: bytes, retry_after: str | None) -> Refused:
    """Read an error answer of the Drive API.

    What is unreadable counts by its status where that says it may pass; else it is `foreign`. Not so 416,
    which only Drive's content servers say.
    """
    reason, message, foreign = "", "", False
    try:
        error = json.loads(content)["error"]
        message = str(error["message"])
        details = error.get("errors") or error.get("details") or [{}]
        reason = str(details[0].get("reason", ""))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        foreign = not message and 400 <= status < 500 and status != 416
        text = " ".join(content[:200].decode("utf-8", "replace").split())
        message = message or ("" if "<" in text else text)  # a page of HTML explains nothing
    return Refused(status, reason, message, _seconds(retry_after), foreign)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After is seconds or a date (RFC 9110, section 10.2.3); None for anything else."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - clock.now()).total_seconds())
    except (ValueError, TypeError):
        return None


def sentence(what: str, refused: Refused) -> StoreError:
    """The error to show for a refusal that will not pass by itself. `what` is what was attempted: "storing
    x.dump".
    """
    detail, reason = refused.detail, refused.reason
    if reason == "storageQuotaExceeded" and "Service Account" in refused.message:
        return service_account_without_storage()
    if reason in _FULL_REASONS:
        return StoreFull(
            f"Google Drive has no room left ({detail}): {what} failed. {_UNTOUCHED} {_FULL_REASONS[reason]}, "
            "then run the backup again."
        )
    if reason in _LATER_REASONS:
        return StoreUnavailable(
            f"Google Drive takes no more today ({detail}): {what} failed, because {_LATER_REASONS[reason]}. "
            f"{_UNTOUCHED} It is open again within 24 hours; the next run tries again."
        )
    if reason in _ACCESS_REASONS:
        return StoreAuth(
            f"Google Drive refused ({detail}): {what} failed. {_UNTOUCHED} {_ACCESS_REASONS[reason]}, then "
            "try again."
        )
    if refused.status == 401:
        return StoreAuth(
            f"Google Drive does not accept this Pi's credentials (401): {what} failed. {_UNTOUCHED} "
            f"Authorise again: {_AGAIN}."
        )
    if reason in _SCOPE_REASONS:
        return StoreAuth(
            f"these Google credentials were not granted what {what} needs ({detail}). {_UNTOUCHED} "
            f"Authorise again with the scope drive.file: {_AGAIN}."
        )
    if refused.about_role:
        return may_not_store(what, refused)
    return StoreError(
        f"Google Drive refused ({detail}: {refused.message}): {what} failed. {_UNTOUCHED} "
        "Check the settings under backup.drive, then try again."
    )


def may_not_store(what: str, refused: Refused | None = None) -> StoreAuth:
    """The role does not even let the account store."""
    return StoreAuth(
        f"the account may not do this in the Drive folder{_in_brackets(refused)}: {what} failed. "
        f"{_UNTOUCHED} Give it the role Contributor (to store) or Manager (to delete) there, then try again."
    )


def may_not_delete(what: str, refused: Refused | None = None) -> StoreAuth:
    """The role lets the account store, but not delete."""
    return StoreAuth(
        f"{what} failed: the account may store in the Drive folder, but not delete there"
        f"{_in_brackets(refused)}. {_UNTOUCHED} If this Pi is never to delete, set backup.drive.append_only "
        "and prune from another machine; else give the account the role Manager there, then try again."
    )


def _in_brackets(refused: Refused | None) -> str:
    return f" ({refused.detail})" if refused else ""


def service_account_without_storage() -> StoreAuth:
    """Why a service account cannot store into somebody's My Drive, and the ways out."""
    return StoreAuth(
        "a service account owns no storage, so Google Drive refuses backups in a folder of somebody's My "
        f"Drive. {_UNTOUCHED} Use a folder in a shared drive (backup.drive.shared_drive_id), or let the "
        "service account act for a user (backup.drive.subject), or use an OAuth user's credentials (the "
        "only way for a free Gmail account)."
    )


def dead_token(code: str, description: str) -> StoreAuth:
    """The token endpoint's final no."""
    if code == "unauthorized_client":
        return StoreAuth(
            f"the service account may not act for the user in backup.drive.subject ({code}: {description}). "
            f"{_UNTOUCHED} Grant it domain-wide delegation for the scope "
            "https://www.googleapis.com/auth/drive, then try again."
        )
    if code == "invalid_client":
        return StoreAuth(
            f"Google does not know the OAuth client in the credentials ({code}: {description}). {_UNTOUCHED} "
            f"Check client_id and client_secret: {_AGAIN}."
        )
    return StoreAuth(
        f"Google no longer accepts the access that was granted to this Pi ({code}: {description}). "
        f"{_UNTOUCHED} Nothing new reaches Drive until you authorise again: {_AGAIN}. (An OAuth app left in "
        "testing loses access every 7 days: publish it.)"
    )


def unavailable(what: str, why: str, tries: int) -> StoreUnavailable:
    """Retries are used up."""
    return StoreUnavailable(
        f"Google Drive could not be reached: {what} failed {tries} times, last with: {why}. {_UNTOUCHED} "
        "Check the network; the next run tries again."
    )
