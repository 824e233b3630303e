"""Google's client library, tamed: requests, resumable uploads and downloads, with bounded retries.

This module is imported only when a Drive store is used: Google's libraries cost a Pi a second and some forty
megabytes. Whatever is repeated must bear it: every create carries an id from generateIds.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import httplib2
import requests
from google.auth.transport.requests import AuthorizedSession
from googleapiclient import discovery, discovery_cache
from googleapiclient.http import HttpRequest

from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreDamaged, StoreError
from loomio_backup.stores.bandwidth import Bandwidth
from loomio_backup.stores.base import Progress, UploadMemory
from loomio_backup.stores.drive_answers import AboutAnswer, NotDrive, making_sense
from loomio_backup.stores.drive_endurance import CAUGHT, endure
from loomio_backup.stores.drive_errors import Refused, refusal
from loomio_backup.stores.drive_transport import TIMEOUT, Transport, open_credentials
from loomio_backup.stores.drive_upload import FileChunks, Upload, chunk_size
from loomio_backup.stores.patience import Backoff, Patience

_BLOCK = 256 * 1024
_Answer = TypeVar("_Answer")


class _Incoming:
    """A download on its way into the file `target`: how far it came, and its hash (hex)."""

    def __init__(self, target: BinaryIO, algorithm: str, progress: Progress | None) -> None:
        self._target, self._algorithm, self._progress = target, algorithm, progress
        self.restart()

    def restart(self) -> None:
        self.done, self._digest = 0, hashlib.new(self._algorithm, usedforsecurity=False)
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
    def digest(self) -> str:
        return self._digest.hexdigest()


class DriveClient:
    """The Drive API of one account. Every method waits and repeats what may pass, and raises:

    Refused for an answer that the caller has to interpret; StoreAuth for a dead token; StoreUnavailable at
    the end of patience.
    """

    def __init__(
        self, settings: DriveStore, secret: Mapping[str, Any], backoff: Backoff, bandwidth: Bandwidth
    ) -> None:
        self._backoff, self._bandwidth = backoff, bandwidth
        credentials = open_credentials(settings, secret)
        document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
        document["rootUrl"] = settings.api_root
        document.pop("mtlsRootUrl", None)
        self._files_url = f"{settings.api_root}{document['servicePath']}files/"
        self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        service = discovery.build_from_document(document, http=Transport(self._session, bandwidth))
        self.files: Any = service.files()
        self.about: Any = service.about()

    def call(self, what: str, request: HttpRequest, read: Callable[[Any], _Answer]) -> _Answer:
        """Execute one request that may be repeated without harm; its JSON answer as `read` understands it.

        An answer that `read` does not understand (see drive_answers.py) counts as none.
        """
        patience = Patience(self._backoff, what)
        while True:
            try:
                with making_sense():
                    return read(request.execute(num_retries=0))
            except CAUGHT as error:
                endure(error, what, patience)

    def delete(self, what: str, request: HttpRequest) -> None:
        """Execute a request to delete. Drive answers with 204 and nothing: mere nothing may be anybody's."""
        seen = _answers(request)

        def read(raw: Any) -> None:
            if raw or seen[-1].status != HTTPStatus.NO_CONTENT:
                raise ValueError("a deletion was answered with content")

        self.call(what, request, read)

    def now(self) -> datetime:
        """The time by Google's clock, in UTC, from the header of an answer that Drive really gave."""
        request = self.about.get(fields="storageQuota")
        seen = _answers(request)

        def read(raw: Any) -> datetime:
            AboutAnswer.model_validate(raw)
            return parsedate_to_datetime(seen[-1]["date"]).astimezone(UTC)

        return self.call("asking Drive for the time", request, read)

    def upload(
        self,
        what: str,
        start: Callable[..., HttpRequest],
        path: Path,
        size: int,
        progress: Progress | None,
        read: Callable[[Any], _Answer],
        memory: UploadMemory | None = None,
    ) -> _Answer:
        """Run a resumable upload to its end; the finished file's JSON as `read` understands it.

        `start(media_body=…)` makes the create or update request. An expired session is started over.
        """
        chunks = FileChunks(path, size, chunk_size(self._bandwidth.limit))
        upload = Upload(start(media_body=chunks), chunks, memory)
        return upload.run(what, Patience(self._backoff, what), progress, read)

    def download(
        self,
        what: str,
        file_id: str,
        target: BinaryIO,
        size: int,
        progress: Progress | None,
        algorithm: str = "sha256",
    ) -> str:
        """Stream a file into the empty `target`, going on where a connection broke; its hash (hex)."""
        patience, incoming, furthest = (
            Patience(self._backoff, what),
            _Incoming(target, algorithm, progress),
            0,
        )
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
            except (*CAUGHT, Refused) as error:
                endure(error, what, patience)
                continue
            if incoming.done < size:
                patience.failed(f"only {incoming.done} of {size} bytes came")
        if incoming.done > size:
            raise StoreDamaged(f"{what} failed: Drive sent more than {size} bytes. Nothing was kept.")
        return incoming.digest

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


def _answers(request: HttpRequest) -> list[httplib2.Response]:
    """Where the status and headers of each answer to this request will be noted."""
    seen: list[httplib2.Response] = []
    request.add_response_callback(seen.append)
    return seen
