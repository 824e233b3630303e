"""Google's client library, tamed: requests, resumable uploads and downloads, with bounded retries.

This module is imported only when a Drive store is used: Google's libraries cost a Pi a second and some forty
megabytes. The library's own retry of chunks resends an exhausted stream (google-api-python-client 2.202), so
here chunks are bytes, and the loop is ours. Whatever is repeated must bear it: every create carries an id
from generateIds.
"""

import errno
import hashlib
import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import httplib2
import requests
from google.auth import exceptions as google_exceptions
from google.auth.transport.requests import AuthorizedSession
from googleapiclient import discovery, discovery_cache
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest, MediaUpload

from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreDamaged, StoreError, StoreUnavailable
from loomio_backup.stores.base import Progress
from loomio_backup.stores.drive_answers import NotDrive, making_sense
from loomio_backup.stores.drive_errors import Refused, dead_token, refusal
from loomio_backup.stores.drive_transport import TIMEOUT, Transport, open_credentials
from loomio_backup.stores.patience import Backoff, Patience

CHUNK = 4 * 1024 * 1024  # a multiple of 256 KiB, as Drive demands; held in memory once
_BLOCK = 256 * 1024
_NOT_DRIVE = "what answered is not Google Drive (is there a login page or a proxy in between?)"
_NETWORK_ERRNOS = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)
_CAUGHT = (
    OSError,
    http.client.HTTPException,
    httplib2.HttpLib2Error,
    google_exceptions.GoogleAuthError,
    HttpError,
    NotDrive,
)
_Answer = TypeVar("_Answer")


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


class _Incoming:
    """A download on its way into the file `target`: how far it came, and its MD5 (hex)."""

    def __init__(self, target: BinaryIO, progress: Progress | None) -> None:
        self._target, self._progress = target, progress
        self.restart()

    def restart(self) -> None:
        self.done, self._digest = 0, hashlib.md5(usedforsecurity=False)
        self._target.seek(0)
        self._target.truncate()

    def take(self, block: bytes) -> None:
        try:
            self._target.write(block)
        except OSError as error:
            raise StoreError(
                f"{self._target.name} cannot be written ({error.strerror}). What Drive holds is untouched."
            ) from error
        self._digest.update(block)
        self.done += len(block)
        if self._progress:
            self._progress(self.done)

    @property
    def md5(self) -> str:
        return self._digest.hexdigest()


class DriveClient:
    """The Drive API of one account. Every method waits and repeats what may pass, and raises:

    Refused for an answer that the caller has to interpret; StoreAuth for a dead token; StoreUnavailable at
    the end of patience.
    """

    def __init__(self, settings: DriveStore, secret: Mapping[str, Any], backoff: Backoff) -> None:
        self._backoff = backoff
        credentials = open_credentials(settings, secret)
        document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
        document["rootUrl"] = settings.api_root
        document.pop("mtlsRootUrl", None)
        self._files_url = f"{settings.api_root}{document['servicePath']}files/"
        self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        service = discovery.build_from_document(document, http=Transport(self._session))
        self.files: Any = service.files()

    def call(self, what: str, request: HttpRequest, read: Callable[[Any], _Answer]) -> _Answer:
        """Execute one request that may be repeated without harm; its JSON answer as `read` understands it.

        An answer that `read` does not understand (see drive_answers.py) counts as none.
        """
        patience = Patience(self._backoff, what)
        while True:
            try:
                with making_sense():
                    return read(request.execute(num_retries=0))
            except _CAUGHT as error:
                _endure(error, what, patience)

    def upload(
        self,
        what: str,
        start: Callable[[MediaUpload], HttpRequest],
        path: Path,
        size: int,
        progress: Progress | None,
        read: Callable[[Any], _Answer],
    ) -> _Answer:
        """Run a resumable upload to its end; the finished file's JSON as `read` understands it.

        `start` makes the create or update request. An expired session is started over.
        """
        request = start(_FileChunks(path, size))
        patience, furthest = Patience(self._backoff, what), 0
        while True:
            try:
                with making_sense():
                    _, body = request.next_chunk(num_retries=0)
                    answer = None if body is None else read(body)
            except _CAUGHT as error:
                if _session_expired(error, request):
                    request.resumable_uri, request.resumable_progress = None, 0
                    patience.failed("the upload session expired")
                else:
                    _endure(error, what, patience)
                continue
            done = size if answer is not None else request.resumable_progress
            if progress:
                progress(done)
            if answer is not None:
                return answer
            if done > furthest:
                furthest = done
                patience.succeeded()
            else:
                patience.failed("Drive kept none of the bytes sent")

    def download(
        self, what: str, file_id: str, target: BinaryIO, size: int, progress: Progress | None
    ) -> str:
        """Stream a file into the empty `target`, going on where a connection broke; its MD5 (hex)."""
        patience, incoming, furthest = Patience(self._backoff, what), _Incoming(target, progress), 0
        while incoming.done < size:
            try:
                with self._ask_for_content(file_id, incoming.done) as answer:
                    if answer.status_code == 200:
                        incoming.restart()
                    for block in answer.iter_content(_BLOCK):
                        incoming.take(block)
                        if incoming.done > furthest:
                            furthest = incoming.done
                            patience.succeeded()
            except (*_CAUGHT, Refused) as error:
                _endure(error, what, patience)
                continue
            if incoming.done < size:
                patience.failed(f"only {incoming.done} of {size} bytes came")
        if incoming.done > size:
            raise StoreDamaged(f"{what} failed: Drive sent more than {size} bytes. Nothing was kept.")
        return incoming.md5

    def _ask_for_content(self, file_id: str, start: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        url = f"{self._files_url}{file_id}?alt=media&supportsAllDrives=true"
        with making_sense():
            answer = self._session.get(url, stream=True, headers=headers, timeout=TIMEOUT)
        if answer.status_code not in (200, 206):
            with answer:
                raise refusal(answer.status_code, answer.content, answer.headers.get("Retry-After"))
        # Objects are uploaded as plain bytes, and handed out as such. What is taken for a beginning here
        # would be gone on from at the next try.
        if any(kind in answer.headers.get("Content-Type", "") for kind in ("html", "json")):
            answer.close()
            raise NotDrive
        return answer


def _session_expired(error: Exception, request: HttpRequest) -> bool:
    expired = isinstance(error, HttpError) and error.resp.status in (404, 410)
    return expired and request.resumable_uri is not None


def _endure(error: Exception, what: str, patience: Patience) -> None:
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
