"""A Pi's clock is believed when somebody has set it, and waited for, but not for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from loomio_backup import clock


@pytest.fixture
def sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where systemd-timesyncd leaves its sign; this machine's kernel has nothing to say."""
    path = tmp_path / "synchronized"
    monkeypatch.setattr(clock, "_SYNCHRONISED", path)
    monkeypatch.setattr(clock, "_TIME_ERROR", 0)
    return path


def test_the_sign_of_the_system_is_believed(sign: Path) -> None:
    assert not clock.synchronised()
    sign.touch()
    assert clock.synchronised()
    assert clock.wait_synchronised(0)


def test_the_kernel_is_asked_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "_SYNCHRONISED", tmp_path / "never")
    # Every answer that is one, and none.
    monkeypatch.setattr(clock, "_TIME_ERROR", 6)
    assert clock.synchronised()
    monkeypatch.setattr(clock, "_TIME_ERROR", 0)
    assert not clock.synchronised()


def test_waiting_ends_when_the_clock_is_set(sign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threading.Timer(0.5, sign.touch).start()
    began = time.monotonic()
    assert clock.wait_synchronised(60)
    assert time.monotonic() - began < 30
    assert "waiting up to 1 min 0 s for the clock" in capsys.readouterr().out


def test_waiting_ends_anyway(sign: Path) -> None:
    began = time.monotonic()
    assert not clock.wait_synchronised(1.2)
    assert 1.2 <= time.monotonic() - began < 10
