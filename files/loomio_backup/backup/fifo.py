"""FIFOs between the agent and a program in a helper container, without the chance of waiting forever.

Opening a FIFO blocks until the other side opens it too, and the other side may die before it does. So both
ends are opened without blocking, and every wait looks at whether the program still runs. A reader cannot
tell a program that finished from one that was killed: only the program's exit status can.
"""

import errno
import fcntl
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Running = Callable[[], bool]

_PATIENCE_MS = 200
_CAPACITY = 1 << 20
_GRACE = 2.0  # seconds: data may still be in the pipe when the program's end is already known
# PostgreSQL's programs read and write pieces of 4 KiB. To follow each of them costs more than the rest of a
# dump; a millisecond later the pipe holds (or takes) hundreds of them.
_PAUSE = 0.001  # seconds
_WORTHWHILE = _CAPACITY // 4


def make_fifo(path: Path) -> Path:
    """A new FIFO, for us only."""
    os.mkfifo(path, 0o600)
    return path


class FifoReader:
    """Reads what a program writes into a FIFO, until it closes it or has stopped running."""

    def __init__(self, path: Path, running: Running) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._running = running
        self._opened = False
        _enlarge(self._descriptor)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; nothing at the end."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        gone_since = None
        while True:
            # Before the other side opens the FIFO there is no event at all; after it closed, POLLHUP.
            if poll.poll(_PATIENCE_MS):
                return self._gathered(size)
            if not self._running():
                gone_since = gone_since or time.monotonic()
                if time.monotonic() - gone_since > _GRACE:
                    return b""

    def _gathered(self, size: int) -> bytes:
        pieces = [os.read(self._descriptor, size)]
        total = len(pieces[0])
        while pieces[-1] and total < min(size, _WORTHWHILE):
            time.sleep(_PAUSE)
            try:
                pieces.append(os.read(self._descriptor, size - total))
            except BlockingIOError:
                break
            total += len(pieces[-1])
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of our end: a program that goes on writing gets a broken pipe."""
        os.close(self._descriptor)


class FifoWriter:
    """Writes into a FIFO that a program reads. Raises BrokenPipeError when nobody reads (any more)."""

    def __init__(self, path: Path, running: Running) -> None:
        self._path = path
        self._running = running
        self._descriptor: int | None = None

    def write(self, data: "bytes | memoryview", /) -> int:
        """Write all of `data`."""
        descriptor = self._open() if self._descriptor is None else self._descriptor
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        rest = memoryview(data)
        while rest:
            if not poll.poll(_PATIENCE_MS):
                if not self._running():
                    raise BrokenPipeError(f"nobody reads {self._path.name} any more")
                continue
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                continue
            if rest:
                time.sleep(_PAUSE)
        return len(data)

    def close(self) -> None:
        """Tell the reader that this was all, also where it was nothing: a program that waits for somebody to
        open the other end would wait forever, and whoever waits for the program with it.
        """
        if self._descriptor is None:
            with suppress(BrokenPipeError):
                self._open()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        while True:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                # ENXIO: nobody has opened it for reading yet.
                if error.errno != errno.ENXIO:
                    raise
                if not self._running():
                    raise BrokenPipeError(f"nobody ever read {self._path.name}") from None
                time.sleep(0.02)
                continue
            self._descriptor = descriptor
            _enlarge(descriptor)
            return descriptor


def _enlarge(descriptor: int) -> None:
    # Fewer, larger steps; the kernel refuses where a limit for unprivileged users is exceeded.
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _CAPACITY)
    except PermissionError:
        return
