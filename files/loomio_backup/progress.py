"""Progress lines: what a person (or the journal) sees while the agent works.

One line per phase, and one every few seconds inside the long ones; each is flushed, because deploys stream
them.
"""

import time

_EVERY = 5.0  # seconds


def say(line: str) -> None:
    """Print one progress line, at once. An OSError names standard output."""
    try:
        print(line, flush=True)
    except OSError as error:
        error.filename = "standard output"
        raise


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
    """Says how far a long phase is, at most once every few seconds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + _EVERY

    def tick(self, state: str) -> None:
        """Print `what: state` when the last line is old enough."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            say(f"{self._what}: {state}")


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
