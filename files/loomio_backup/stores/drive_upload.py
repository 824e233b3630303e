"""A resumable upload to Drive: from its start, or from where an earlier process had to stop.

The library's own retry of chunks resends an exhausted stream (google-api-python-client 2.202), so here chunks
are bytes, and the loop is ours. The address of the session is all the authority that it needs: it goes into
the memory that the caller keeps, and nowhere else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest, MediaUpload

from loomio_backup.errors import StoreError
from loomio_backup.stores.base import Progress, UploadMemory
from loomio_backup.stores.drive_answers import making_sense
from loomio_backup.stores.drive_endurance import CAUGHT, endure
from loomio_backup.stores.patience import Patience

CHUNK = 4 * 1024 * 1024  # held in memory once
STEP = 256 * 1024  # Drive demands multiples of it
_CHUNK_SECONDS = 10  # at least so often a slow upload is confirmed
_RESUME_INCOMPLETE = 308
_LOST = (400, 404, 410)  # of a session: not for these bytes, expired, finished long ago and deleted since
_Answer = TypeVar("_Answer")


def chunk_size(limit: int | None) -> int:
    """Bytes of a chunk when `limit` bytes may leave in a second: little is lost with a broken chunk."""
    return CHUNK if limit is None else max(STEP, min(CHUNK, limit * _CHUNK_SECONDS // STEP * STEP))


class FileChunks(MediaUpload):  # type: ignore[misc] # an untyped library
    """A file as chunks of bytes. `has_stream` is False, so that the library can send a chunk again.

    `before` is called before each chunk is read: the session is open by then, nothing of the chunk is sent.
    """

    def __init__(self, path: Path, size: int, chunk: int) -> None:
        self._path, self._size, self._chunk = path, size, chunk
        self.before: Callable[[], None] = lambda: None

    def chunksize(self) -> int:
        return self._chunk

    def mimetype(self) -> str:
        return "application/octet-stream"

    def size(self) -> int:
        return self._size

    def resumable(self) -> bool:
        return True

    def has_stream(self) -> bool:
        return False

    def getbytes(self, begin: int, length: int) -> bytes:
        self.before()
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


class Upload:
    """One upload on its way. `request` was made with `chunks`; `memory` keeps its address between
    processes.
    """

    def __init__(self, request: HttpRequest, chunks: FileChunks, memory: UploadMemory | None) -> None:
        self._request, self._chunks, self._memory = request, chunks, memory
        self._remembered = memory.recall() if memory else None
        self._resuming = self._remembered is not None
        if self._resuming:
            request.resumable_uri = self._remembered
        chunks.before = self._remember

    def run(
        self, what: str, patience: Patience, progress: Progress | None, read: Callable[[Any], _Answer]
    ) -> _Answer:
        """Carry it to its end; the finished file's JSON as `read` understands it."""
        furthest = -1 if self._resuming else 0  # to learn that nothing is there yet is progress, too
        while True:
            try:
                with making_sense():
                    body = self._next()
                    answer = None if body is None else read(body)
            except CAUGHT as error:
                if self._lost(error):
                    self._start_over()
                    patience.failed("the upload session expired")
                else:
                    endure(error, what, patience)
                continue
            done = self._chunks.size() if answer is not None else self._request.resumable_progress
            if progress:
                progress(done)
            if answer is not None:
                self._forget()
                return answer
            if done > furthest:
                furthest = done
                patience.succeeded()
            else:
                patience.failed("Drive kept none of the bytes sent")

    def _next(self) -> Any:
        """One step: the question where an earlier process' upload stands, or a chunk."""
        if not self._resuming:
            return self._request.next_chunk(num_retries=0)[1]
        request = self._request
        headers = {"Content-Range": f"bytes */{self._chunks.size()}", "Content-Length": "0"}
        response, content = request.http.request(request.resumable_uri, "PUT", headers=headers)
        if response.status in (200, 201):
            return request.postproc(response, content)
        if response.status != _RESUME_INCOMPLETE:
            raise HttpError(response, content)
        last = response.get("range", "bytes=0--1").partition("-")[2]
        request.resumable_progress = int(last) + 1
        self._resuming = False
        return None

    def _lost(self, error: Exception) -> bool:
        if not isinstance(error, HttpError) or self._request.resumable_uri is None:
            return False
        return error.resp.status in (_LOST if self._resuming else _LOST[1:])

    def _start_over(self) -> None:
        self._request.resumable_uri, self._request.resumable_progress = None, 0
        self._resuming = False
        self._forget()

    def _remember(self) -> None:
        address = self._request.resumable_uri
        if self._memory and address != self._remembered:
            self._memory.remember(address)
            self._remembered = address

    def _forget(self) -> None:
        if self._memory and self._remembered is not None:
            self._memory.remember(None)
        self._remembered = None
