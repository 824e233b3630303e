"""How fast bytes may leave: one limit for all uploads of a store together.

Home uplinks drown in a backup. Bytes therefore leave in small pieces, each at its own moment, instead of in
chunks as fast as they go with pauses in between. Without a limit they leave in pieces as well: the time that
a connection may stand still is counted per piece, and a whole chunk would not pass a slow uplink in it.
"""

import threading
import time
from collections.abc import Iterator

_PIECES = 20  # a second, so that others get their turn between two of them
_SMALLEST, _LARGEST, _UNLIMITED = 512, 16 * 1024, 64 * 1024
_CREDIT = 0.1  # seconds that may be made up for: a thread wakes up late


class Bandwidth:
    """A limit in bytes per second (None: no limit), shared by every thread that uploads to one store."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._next = 0.0

    def pieces(self, content: bytes) -> Iterator[memoryview]:
        """The content piece by piece, each when its time has come."""
        view, limit = memoryview(content), self.limit
        size = _UNLIMITED if limit is None else max(_SMALLEST, min(_LARGEST, limit // _PIECES))
        for start in range(0, len(view), size):
            piece = view[start : start + size]
            if limit is not None:
                time.sleep(self._wait(len(piece) / limit))
            yield piece

    def _wait(self, duration: float) -> float:
        """Book the next free `duration` seconds of the line; seconds until they begin."""
        with self._lock:
            now = time.monotonic()
            begin = max(self._next, now - _CREDIT)
            self._next = begin + duration
        return max(0.0, begin - now)


class PacedBody:
    """A request's body that leaves as `bandwidth` allows. It can be sent again, as google-auth does after a
    401.
    """

    def __init__(self, content: bytes, bandwidth: Bandwidth) -> None:
        self._content, self._bandwidth = content, bandwidth

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[memoryview]:
        return self._bandwidth.pieces(self._content)
