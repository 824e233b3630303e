"""Progress: what a person (or the journal) sees while the agent works.

One line per phase. Inside the long ones a terminal shows a bar that moves; elsewhere a line comes every few
seconds. Each is flushed, because deploys stream them.
"""

import shutil
import sys
import threading
import time

_EVERY = 5.0  # seconds between two lines
_REDRAW = 0.1  # seconds between two states of a bar
_CELLS = 20
_lock = threading.RLock()
_drawn = False
"""Whether the last line of the terminal is a bar, which the next line takes the place of."""


def say(line: str) -> None:
    """Print one progress line, at once. An OSError names standard output."""
    with _lock:
        clear()
        _write(line + "\n")


def clear() -> None:
    """Take the bar off the terminal, if there is one: something else is to be written."""
    global _drawn
    with _lock:
        if _drawn:
            _drawn = False
            _write("\r\x1b[K")


def _draw(line: str) -> None:
    global _drawn
    with _lock:
        width = shutil.get_terminal_size().columns - 1
        _write(f"\r\x1b[K{line[:width]}")
        _drawn = True


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def bar(share: float) -> str:
    """`[#####...............]  25 %`; `share` from 0 to 1, what is beyond counts as the end."""
    share = min(max(share, 0.0), 1.0)
    full = int(share * _CELLS)
    return f"[{'#' * full}{'.' * (_CELLS - full)}] {share:4.0%}"


def bytes_text(count: int) -> str:
    """A size for people: `17 bytes`, `3.4 MB` (decimal units, as Drive and disk makers count)."""
    if count < 1000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.1f} {unit}" if size < 100 else f"{size:.0f} {unit}"


def seconds_text(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Ticker:
    """Says how far a long phase is: on a terminal as a bar that moves, elsewhere as a line now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._moving = sys.stdout.isatty()
        self._next = time.monotonic() + (0 if self._moving else _EVERY)

    def tick(self, state: str, share: float | None = None) -> None:
        """Show `what: state` when the last one is old enough; `share` of the whole, from 0 to 1, where that
        is known.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_REDRAW if self._moving else _EVERY)
        if not self._moving:
            say(f"{self._what}: {state}")
        elif share is None:
            _draw(f"{self._what}: {state}")
        else:
            _draw(f"{bar(share)} {self._what}: {state}")


class Stopwatch:
    """Seconds per phase, for the manifest and for the summary."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self.phases: dict[str, float] = {}

    def lap(self, phase: str) -> float:
        """Close the running phase under this name (adding up when it comes again); returns its seconds."""
        now = time.monotonic()
        seconds = now - self._last
        self._last = now
        self.phases[phase] = round(self.phases.get(phase, 0.0) + seconds, 3)
        return seconds

    @property
    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start
