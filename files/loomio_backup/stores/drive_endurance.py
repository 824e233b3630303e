"""What to do about a failed request to Drive: wait, if it may pass; else say what it means."""

import errno
import http.client
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import httplib2
import requests
from google.auth import exceptions as google_exceptions
from googleapiclient.errors import HttpError

from loomio_backup.errors import StoreUnavailable
from loomio_backup.stores.drive_answers import NotDrive
from loomio_backup.stores.drive_errors import Refused, dead_token, refusal
from loomio_backup.stores.patience import Patience

_NOT_DRIVE = "what answered is not Google Drive (is there a login page or a proxy in between?)"
_NETWORK_ERRNOS = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)
CAUGHT = (
    OSError,
    http.client.HTTPException,
    httplib2.HttpLib2Error,
    google_exceptions.GoogleAuthError,
    HttpError,
    NotDrive,
)
"""Whatever a request can end with that `endure` knows how to read."""


def endure(error: Exception, what: str, patience: Patience) -> None:
    """Wait, if the error may pass; else raise what it means."""
    if isinstance(error, HttpError) and error.resp.status < 300:
        error = NotDrive()  # "success", but not the one that was asked for: an upload without a session
    if isinstance(error, NotDrive):
        patience.failed(_NOT_DRIVE)
        return
    if isinstance(error, HttpError):
        error = refusal(error.resp.status, error.content, error.resp.get("retry-after"))
    if isinstance(error, Refused):
        if not error.passing:
            raise error
        if error.foreign:
            patience.failed(f"{_NOT_DRIVE}, status {error.status}")
            return
        patience.failed(f"{error.status} {error.reason or error.message}".strip(), error.retry_after)
        return
    if isinstance(error, google_exceptions.RefreshError):
        _endure_refresh(error, patience)
        return
    if isinstance(error, OSError) and not _of_the_network(error):
        raise error
    cause = _innermost(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise StoreUnavailable(
            f"{what} failed: the server's certificate is not to be trusted ({cause.verify_message}). "
            "Nothing was sent. Check the Pi's clock and its network."
        ) from error
    # Only the innermost text: outer ones quote addresses, and that of an upload session is a secret.
    patience.failed(getattr(cause, "strerror", None) or type(cause).__name__)


def _endure_refresh(error: Any, patience: Patience) -> None:
    detail = next((item for item in error.args if isinstance(item, Mapping)), {})
    if error.retryable:
        patience.failed(f"Google's token endpoint is out of order {detail.get('error', '')}".strip())
        return
    code = detail.get("error")
    if not isinstance(code, str):  # RFC 6749 asks for one: this was no token endpoint
        patience.failed(_NOT_DRIVE)
        return
    raise dead_token(code, str(detail.get("error_description", ""))) from error


def _innermost(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _of_the_network(error: OSError) -> bool:
    kinds = (ConnectionError, TimeoutError, ssl.SSLError, socket.gaierror, requests.RequestException)
    return isinstance(error, kinds) or error.errno in _NETWORK_ERRNOS
