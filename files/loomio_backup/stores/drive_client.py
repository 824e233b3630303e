"""Google's client library, tamed: credentials, requests, resumable uploads and downloads, with bounded
retries.

This module imports Google's libraries and is itself imported only when a Drive store is used: they cost a Pi
a second and some forty megabytes. Facts that shape it (google-api-python-client 2.202, google-auth 2.62):

* the library's own retry of chunks resends an exhausted stream, so chunks are bytes and the loop is ours;
* httplib2 silently resends a POST after a dropped connection, so every create carries an id from generateIds;
* `from_authorized_user_info` ignores token_uri, so credentials are built with their constructors;
* service account credentials start a thread that asks iamcredentials.googleapis.com, of no use here.
"""

import errno
import hashlib
import http.client
import json
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_auth_httplib2
import httplib2
import requests
from google.auth import credentials as google_credentials
from google.auth import exceptions as google_exceptions
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account
from googleapiclient import discovery, discovery_cache
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest, MediaUpload, build_http

from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreAuth, StoreDamaged, StoreError, StoreUnavailable
from loomio_backup.stores.base import Progress
from loomio_backup.stores.drive_errors import Refused, dead_token, refusal, unavailable

CHUNK = 4 * 1024 * 1024  # a multiple of 256 KiB, as Drive demands; held in memory once
_BLOCK = 256 * 1024
_TIMEOUT = 60  # seconds without a byte
_SERVICE_ACCOUNT_SCOPE = "https://www.googleapis.com/auth/drive"
_NETWORK_ERRNOS = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)
_CAUGHT = (
    OSError,
    http.client.HTTPException,
    httplib2.HttpLib2Error,
    google_exceptions.GoogleAuthError,
    HttpError,
)


@dataclass(frozen=True)
class Backoff:
    """How long to be patient: seconds before the first repetition (doubled each time), the longest wait, and
    tries.
    """

    first: float = 1.0
    longest: float = 64.0
    tries: int = 8
    longest_asked: float = 300.0  # of Retry-After


class _Patience:
    """Counts failures in a row, waits after each, and gives up with StoreUnavailable."""

    def __init__(self, backoff: Backoff, what: str) -> None:
        self._backoff, self._what, self._failures = backoff, what, 0

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, why: str, retry_after: float | None = None) -> None:
        self._failures += 1
        if self._failures >= self._backoff.tries:
            raise unavailable(self._what, why, self._failures)
        wait = min(self._backoff.longest, self._backoff.first * 2 ** (self._failures - 1))
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - only spreads many Pis over time
        if retry_after is not None:
            wait = max(wait, min(retry_after, self._backoff.longest_asked))
        time.sleep(wait)


class _FileChunks(MediaUpload):  # type: ignore[misc] # an untyped library
    """A file as chunks of bytes. `has_stream` is False, so that the library can send a chunk again."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def chunksize(self) -> int:
        return CHUNK

    def mimetype(self) -> str:
        return "application/octet-stream"

    def size(self) -> int:
        return self._size

    def resumable(self) -> bool:
        return True

    def has_stream(self) -> bool:
        return False

    def getbytes(self, begin: int, length: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(begin)
                data = file.read(length)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be read ({error.strerror}); its upload was given up."
            ) from error
        if len(data) != min(length, self._size - begin):
            raise StoreError(
                f"{self._path} became shorter during its upload, which was given up. Run the backup again."
            )
        return data


class _TokenOnly(google_credentials.Credentials):
    """Service account credentials that only fetch tokens, without the lookup thread of their class."""

    def __init__(self, inner: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inner = inner

    def refresh(self, request: Any) -> None:
        self._inner.refresh(request)
        self.token, self.expiry = self._inner.token, self._inner.expiry


def _credentials(settings: DriveStore, secret: Mapping[str, Any]) -> Any:
    kind = secret.get("type")
    try:
        if kind == "authorized_user":
            # No scopes: the token carries what was granted, drive.file as a rule, drive.readonly in need.
            return user_credentials.Credentials(  # type: ignore[no-untyped-call]
                None,
                refresh_token=secret["refresh_token"],
                client_id=secret["client_id"],
                client_secret=secret["client_secret"],
                token_uri=settings.token_uri,
            )
        if kind == "service_account":
            return _TokenOnly(
                service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                    {**secret, "token_uri": settings.token_uri},
                    scopes=[_SERVICE_ACCOUNT_SCOPE],
                    subject=settings.subject,
                )
            )
    except KeyError as error:
        raise StoreAuth(
            f"the Drive credentials lack {error}. Nothing was done. Complete drive.credentials."
        ) from None
    except (ValueError, google_exceptions.GoogleAuthError):
        # The library's message may quote the key: say only where to look.
        raise StoreAuth(
            "the service account's private key is unreadable. Nothing was done. Check drive.credentials."
        ) from None
    raise StoreAuth(
        f"the Drive credentials are of type {kind!r}; authorized_user or service_account is expected. "
        "Nothing was done. Check drive.credentials."
    )


class DriveClient:
    """The Drive API of one account. Every method waits and repeats what may pass, and raises:

    Refused for an answer that the caller has to interpret; StoreAuth for a dead token; StoreUnavailable at
    the end of patience.
    """

    def __init__(self, settings: DriveStore, secret: Mapping[str, Any], backoff: Backoff) -> None:
        self._backoff = backoff
        credentials = _credentials(settings, secret)
        document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
        document["rootUrl"] = settings.api_root
        document.pop("mtlsRootUrl", None)
        self._files_url = f"{settings.api_root}{document['servicePath']}files/"
        authorized = google_auth_httplib2.AuthorizedHttp(credentials, http=build_http())
        service = discovery.build_from_document(document, http=authorized)
        self.files: Any = service.files()
        self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]

    def call(self, what: str, request: HttpRequest) -> dict[str, Any]:
        """Execute one request that may be repeated without harm; its JSON answer ({} for none)."""
        patience = _Patience(self._backoff, what)
        while True:
            try:
                return request.execute(num_retries=0) or {}
            except _CAUGHT as error:
                _endure(error, what, patience)

    def upload(
        self,
        what: str,
        start: Callable[[MediaUpload], HttpRequest],
        path: Path,
        size: int,
        progress: Progress | None,
    ) -> dict[str, Any]:
        """Run a resumable upload (`start` makes the create or update request) to its end; the finished file's
        JSON.
        """
        request = start(_FileChunks(path, size))
        patience = _Patience(self._backoff, what)
        while True:
            before = request.resumable_progress
            try:
                _, body = request.next_chunk(num_retries=0)
            except HttpError as error:
                if error.resp.status in (404, 410) and request.resumable_uri is not None:
                    request.resumable_uri, request.resumable_progress = (
                        None,
                        0,
                    )  # the session is gone: start over
                    patience.failed("the upload session expired")
                else:
                    _endure(error, what, patience)
                continue
            except _CAUGHT as error:
                _endure(error, what, patience)
                continue
            if body is not None:
                if progress:
                    progress(size)
                finished: dict[str, Any] = body
                return finished
            if request.resumable_progress > before:
                patience.succeeded()
            else:
                patience.failed("Drive kept none of the bytes sent")
            if progress:
                progress(request.resumable_progress)

    def download(
        self, what: str, file_id: str, target: BinaryIO, size: int, progress: Progress | None
    ) -> str:
        """Stream a file's content into `target` from where it stands, going on after a break; returns the MD5
        (hex).
        """
        patience = _Patience(self._backoff, what)
        digest, done = hashlib.md5(usedforsecurity=False), 0
        while done < size:
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
            url = f"{self._files_url}{file_id}?alt=media&supportsAllDrives=true"
            try:
                with self._session.get(url, stream=True, headers=headers, timeout=_TIMEOUT) as answer:
                    if answer.status_code not in (200, 206):
                        raise refusal(answer.status_code, answer.content, answer.headers.get("Retry-After"))
                    if done and answer.status_code == 200:
                        digest, done = hashlib.md5(usedforsecurity=False), 0
                        target.seek(0)
                        target.truncate()
                    for block in answer.iter_content(_BLOCK):
                        _write(target, block)
                        digest.update(block)
                        done += len(block)
                        patience.succeeded()
                        if progress:
                            progress(done)
            except (*_CAUGHT, Refused) as error:
                _endure(error, what, patience)
                continue
            if done < size:
                patience.failed(f"only {done} of {size} bytes came")
        if done > size:
            raise StoreDamaged(f"{what} failed: Drive sent {done} bytes instead of {size}. Nothing was kept.")
        return digest.hexdigest()


def _write(target: BinaryIO, block: bytes) -> None:
    try:
        target.write(block)
    except OSError as error:
        raise StoreError(
            f"{target.name} cannot be written ({error.strerror}). What Drive holds is untouched."
        ) from error


def _endure(error: Exception, what: str, patience: _Patience) -> None:
    """Wait, if the error may pass; else raise what it means."""
    if isinstance(error, HttpError):
        error = refusal(error.resp.status, error.content, error.resp.get("retry-after"))
    if isinstance(error, Refused):
        if not error.passing:
            raise error
        patience.failed(f"{error.status} {error.reason or error.message}".strip(), error.retry_after)
        return
    if isinstance(error, google_exceptions.RefreshError):
        _endure_refresh(error, patience)
        return
    if isinstance(error, ssl.SSLCertVerificationError):
        raise StoreUnavailable(
            f"{what} failed: the server's certificate is not to be trusted ({error.verify_message}). "
            "Nothing was sent. Check the Pi's clock and its network."
        ) from error
    if isinstance(error, OSError) and not _of_the_network(error):
        raise error
    patience.failed(f"{type(error).__name__}: {error}")


def _endure_refresh(error: Any, patience: _Patience) -> None:
    detail = next((item for item in error.args if isinstance(item, Mapping)), {})
    if error.retryable:
        patience.failed(f"Google's token endpoint is out of order {detail.get('error', '')}".strip())
        return
    raise dead_token(str(detail.get("error", "refused")), str(detail.get("error_description", ""))) from error


def _of_the_network(error: OSError) -> bool:
    kinds = (ConnectionError, TimeoutError, ssl.SSLError, socket.gaierror, requests.RequestException)
    return isinstance(error, kinds) or error.errno in _NETWORK_ERRNOS
