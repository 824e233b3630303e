"""A short sample of each measurement; `make faults` takes them whole.

Where a limit is a ratio of times, what has to be done whatever the size counts for much in a sample, and for
little in the whole: it is let off here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from . import database, increments
from .database import measure_database
from .increments import measure_increments
from .memory import measure_memory

pytestmark = pytest.mark.lab

_ROUNDING = 1.0  # seconds: what a hundredth of hardly anything takes


def test_memory(tmp_path: Path) -> None:
    found = measure_memory(tmp_path, database_mb=120, files=20_000)
    assert found.within_limits, found
    assert found.database_bytes > 100_000_000


def test_increments(tmp_path: Path) -> None:
    found = measure_increments(tmp_path, files=1_000, file_bytes=200_000)
    assert found.unchanged_within_limits, found
    assert found.bytes_within_limits, found
    assert found.changed_seconds <= increments.TIME_SHARE * found.first_seconds + _ROUNDING, found


def test_database_part(tmp_path: Path) -> None:
    found = measure_database(tmp_path, database_mb=160, rounds=2)
    assert found.plain_bytes > 100_000_000
    assert found.agent.least <= database.LIMIT * found.baseline.most + 3 * found.start.most, found
