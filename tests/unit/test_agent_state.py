"""The lock that keeps backups and restores apart, and looking at it without getting in anybody's way."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from loomio_backup.errors import AgentError
from loomio_backup.state import StateDirectory


def test_what_is_running_is_seen(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert state.running() is None
    with state.locked("a backup"):
        assert StateDirectory(tmp_path).running() == f"a backup, process {os.getpid()}"
        with pytest.raises(AgentError, match="another one is running"), state.locked("a restore"):
            pass
    assert state.running() is None


def test_looking_never_makes_a_run_fail(tmp_path: Path) -> None:
    state, over = StateDirectory(tmp_path), threading.Event()

    def look() -> None:
        while not over.is_set():
            StateDirectory(tmp_path).running()

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(100):
            with state.locked("a backup"):
                pass
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
