"""Looks after the disk while a drill fills it: what was estimated beforehand may be wrong, somebody else may
write meanwhile, and the live database must not stop for a copy.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from loomio_backup import room
from loomio_backup.progress import bytes_text

FLOOR = room.FLOOR // 2
"""A drill does not begin where it would leave less than room.FLOOR; so much below that it is given up."""
_EVERY = 2.0  # seconds


class Guard:
    """Calls `stop` once when a disk gets tight; `reason` then says so. For the length of a `with` block."""

    def __init__(self, places: Sequence[Path], stop: Callable[[], None], floor: int = FLOOR) -> None:
        self._places = places
        self._stop = stop
        self._floor = floor
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.reason: str | None = None

    def __enter__(self) -> "Guard":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            for place in self._places:
                free = room.free(place)
                if free < self._floor:
                    self.reason = (
                        f"the drill was given up: the disk of {place} had only {bytes_text(free)} left, and "
                        "the database that Loomio lives on comes first. What the drill took is free again, "
                        "the backups are untouched. Make room on that disk, or keep fewer backups there"
                    )
                    self._stop()
                    return
            if self._over.wait(_EVERY):
                return
