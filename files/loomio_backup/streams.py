"""Byte streams of any length in constant memory, with each stage of the work in a thread of its own.

Hashing, compressing and encrypting release Python's lock, so stages that run side by side use several cores
of the Pi. A stream is an iterator of blocks; `Stage` moves a producer of blocks into a thread, `BlockReader`
turns blocks into a file-like object, `write_all` writes to any file-like object.
"""

import contextlib
import io
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

BLOCK = 256 << 10
"""Bytes read from a source at a time. Each stage may hold some: with large ones, how much memory is in use
would depend on which stage happens to be the slowest.
"""

Put = Callable[[bytes], None]

_DEPTH = 4
_PATIENCE = 5.0  # seconds


class Source(Protocol):
    """Anything with `read`: at most `size` bytes, nothing only at the end."""

    def read(self, size: int, /) -> bytes: ...


class Sink(Protocol):
    """Anything with `write`."""

    def write(self, data: Any, /) -> int | None: ...


class Abandoned(Exception):  # noqa: N818
    """Raised inside a stage's thread when nobody wants its blocks any more."""


class Stage(Iterator[bytes]):
    """Runs `produce(put)` in a thread; iterating yields the blocks that it put, at most a few ahead.

    Whatever `produce` raises is raised to the consumer after the blocks before it: an end of iteration
    without an exception means that `produce` returned. `upstream` is the stage that `produce` reads from, if
    any.
    """

    def __init__(self, produce: Callable[[Put], None], upstream: "Stage | None" = None) -> None:
        self._produce = produce
        self._upstream = upstream
        self._blocks: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._abandoned = False
        self._error: BaseException | None = None
        # A daemon: a source that never answers again must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="stage", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended or self._abandoned)
            if self._abandoned:
                raise Abandoned
            if self._blocks:
                block = self._blocks.popleft()
                self._changed.notify_all()
                return block
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread (and those upstream) whether or not everything was consumed."""
        self._abandon()
        # The thread ends at its next put; only a source that blocks for good can outlast this.
        self._thread.join(_PATIENCE)

    def _abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._blocks.clear()
            self._changed.notify_all()
        if self._upstream is not None:
            self._upstream._abandon()

    def put(self, block: bytes) -> None:
        """For `produce`: pass a block on, waiting while the consumer is far behind."""
        if not block:
            return
        with self._changed:
            self._changed.wait_for(lambda: len(self._blocks) < _DEPTH or self._abandoned)
            if self._abandoned:
                raise Abandoned
            self._blocks.append(block)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self._produce(self.put)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


class BlockReader(io.RawIOBase):
    """A readable file over an iterator of blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def read_blocks(source: Source) -> Iterator[bytes]:
    """The rest of `source`, in blocks of at most `BLOCK` bytes."""
    while block := source.read(BLOCK):
        yield block


def gathered(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of `BLOCK` at least: passing a block on costs as much as 10 kB of work on its
    content.
    """
    pieces: list[bytes] = []
    size = 0
    for block in blocks:
        pieces.append(block)
        size += len(block)
        if size >= BLOCK:
            yield b"".join(pieces)
            pieces, size = [], 0
    if size:
        yield b"".join(pieces)


def write_all(sink: Sink, data: bytes) -> None:
    """Write all of `data`: unbuffered files and pipes may take less than they were given."""
    view = memoryview(data)
    while view:
        written = sink.write(view)
        # Buffered files, and most objects that merely look like files, take everything and may return None.
        if written is None or written >= len(view):
            return
        view = view[written:]


@contextlib.contextmanager
def all_closed(*stages: Stage) -> Iterator[None]:
    """Close `stages`, last first, when the block ends."""
    with contextlib.ExitStack() as stack:
        for stage in stages:
            stack.enter_context(stage)
        yield
