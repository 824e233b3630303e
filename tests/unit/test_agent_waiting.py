"""No two runs at once: by hand the second one is refused, on schedule it waits for its turn."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from loomio_backup.errors import AgentError
from loomio_backup.state import StateDirectory

_PROCESSES = multiprocessing.get_context("spawn")


def hold(path: Path, held: Event, seconds: float) -> None:
    with StateDirectory(path).locked("a restore"):
        held.set()
        time.sleep(seconds)


@pytest.fixture
def holder(tmp_path: Path) -> multiprocessing.process.BaseProcess:
    held = _PROCESSES.Event()
    process = _PROCESSES.Process(target=hold, args=(tmp_path, held, 1.5))
    process.start()
    assert held.wait(30)
    return process


def test_refused_at_once(holder: multiprocessing.process.BaseProcess, tmp_path: Path) -> None:
    with (
        pytest.raises(AgentError, match="a backup was not started: another one is running"),
        StateDirectory(tmp_path).locked("a backup"),
    ):
        raise AssertionError("two at once")
    holder.join()
    assert holder.exitcode == 0


def test_waits_for_its_turn_and_says_for_whom(
    holder: multiprocessing.process.BaseProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StateDirectory(tmp_path).locked("a backup", wait=True):
        # The kernel let go of the lock when its holder was done, which is at the end of that process.
        holder.join(timeout=5)
        assert holder.exitcode == 0
        said = StateDirectory(tmp_path).running()
        assert said is not None
        assert said.startswith("a backup, process ")
    waited = capsys.readouterr().out
    assert f"a backup waits until another one has finished (a restore, process {holder.pid})" in waited
