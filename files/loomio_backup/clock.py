"""What time it is, and whether that may be believed: the one place that asks, so that tests can mock the
clock and nothing else.

A Pi has no battery for its clock: after a power cut it starts with the time of its last shutdown, and is
right only when the network has told it.
"""

import ctypes
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loomio_backup.progress import Ticker, say, seconds_text

_SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
"""Made by systemd-timesyncd at the first synchronisation after the start (systemd-timesyncd.service(8))."""
_TIME_ERROR = 5
"""What adjtimex(2) returns while nobody keeps the kernel's clock synchronised."""
_TIMEX_BYTES = 512  # struct timex has 208; its first field, modes, stays 0: only ask


def now() -> datetime:
    """The present moment by this Pi's clock, in UTC. Call it as `clock.now()`."""
    return datetime.now(UTC)


def since_start() -> timedelta:
    """How long ago this Pi was switched on."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


def synchronised() -> bool:
    """Whether the network has set this Pi's clock since it was started: systemd-timesyncd says so, or the
    kernel (chrony and ntpd tell it).
    """
    if _SYNCHRONISED.exists():
        return True
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state < _TIME_ERROR


def wait_synchronised(seconds: float) -> bool:
    """Wait until the clock is synchronised, for so long at most; whether it is."""
    if synchronised():
        return True
    say(f"waiting up to {seconds_text(seconds)} for the clock to be synchronised")
    ticker, deadline = Ticker("clock"), time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
        if synchronised():
            return True
        ticker.tick(f"not synchronised yet, {seconds_text(max(0.0, deadline - time.monotonic()))} left")
    return False
