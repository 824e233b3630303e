"""People at work on a tree of files while it is backed up."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random


@contextmanager
def disturbed(path: Path, change: str) -> Iterator[None]:
    """A thread that lets a file of 8 MiB `grow`, `shrink` (and grow again), or be `rewrite`d all the time."""
    stop = threading.Event()

    def disturb() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with path.open("r+b") as file:
                if change == "grow":
                    file.seek(0, os.SEEK_END)
                    file.write(bytes(10))
                elif change == "shrink":
                    file.truncate((4 << 20) + number % 2 * (4 << 20))
                else:
                    file.write(number.to_bytes(8, "big"))

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        yield
    finally:
        stop.set()
        disturber.join()


class Writers:
    """Threads that change, make, remove and rename files below a directory until told to stop."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._stop = threading.Event()
        self.changes = 0
        self._threads = [
            threading.Thread(target=self._work, args=(Random(f"{seed} {number}"),)) for number in range(3)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, random: Random) -> None:
        while not self._stop.is_set():
            directory = self._root / f"d{random.randrange(4)}"
            path = directory / f"{random.randrange(40)}"
            try:
                self._change(random, directory, path)
                self.changes += 1
            except OSError:
                # Another thread was there first: that is the point.
                continue

    def _change(self, random: Random, directory: Path, path: Path) -> None:
        match random.randrange(8):
            case 0 | 1:
                directory.mkdir(exist_ok=True)
                path.write_bytes(random.randbytes(random.choice((10, 10, 10_000, 300_000))))
            case 2:
                with path.open("r+b") as file:
                    file.write(random.randbytes(8))
            case 3:
                path.unlink()
            case 4:
                path.rename(directory / f"{random.randrange(40)}")
            case 5:
                path.mkdir()
                (path / "below").write_text("below")
            case 6:
                shutil.rmtree(path)
            case 7:
                directory.rename(self._root / f"d{random.randrange(4)}")
