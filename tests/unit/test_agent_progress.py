"""Progress: lines where nobody looks, a bar where somebody does."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from loomio_backup import progress

_PHASE = """
import time
from loomio_backup.progress import Ticker, clear, say
say("begun")
ticker = Ticker("drive")
until = time.monotonic() + 0.5
done = 0
while time.monotonic() < until:
    done += 1
    ticker.tick(f"state {done}", 0.25)
say("ended")
"""


def _on_a_terminal(script: str) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=theirs, env={**os.environ, "COLUMNS": "60"}
    ) as child:
        os.close(theirs)
        found = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            found += block
        assert child.wait() == 0
    os.close(ours)
    return found.decode()


def test_a_terminal_shows_a_bar_that_moves_and_goes() -> None:
    text = _on_a_terminal(_PHASE)
    states = text.split("\r\x1b[K")
    assert states[0] == "begun\r\n"
    assert 3 <= len(states) - 2 <= 8, "a few states a second, not thousands"
    assert states[1].startswith("[#####...............]  25% drive: state 1")
    assert states[-1] == "ended\r\n", "the last bar is taken away before the next line"


def test_a_bar_is_never_wider_than_the_terminal() -> None:
    text = _on_a_terminal(_PHASE.replace("state {done}", "state " + "x" * 200))
    assert max(len(state) for state in text.split("\r\x1b[K")[1:-1]) == 59


def test_elsewhere_there_are_plain_lines() -> None:
    done = subprocess.run([sys.executable, "-c", _PHASE], capture_output=True, text=True, check=True)
    assert done.stdout == "begun\nended\n", "nothing happened for five seconds, so there is no line between"


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "[....................]   0%"),
        (0.5, "[##########..........]  50%"),
        (7, "[####################] 100%"),
    ],
)
def test_shares(share: float, shown: str) -> None:
    assert progress.bar(share) == shown
