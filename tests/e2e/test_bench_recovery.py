"""A short sample of the measurement of recovery; `make faults ARGS="--series recovery"` takes it whole.

The recovery is the one that every test of this life is about; the ratio says nothing at this size.
"""

from __future__ import annotations

import pytest

from tests.bench.recovery import split
from tests.bench.whole import recovery_tables

from .conftest import SMALL, Drill

pytestmark = [pytest.mark.lab, pytest.mark.drill]


def test_both_sides_are_measured(trixie: Drill) -> None:
    rehearsal = trixie.rehearsal
    before = rehearsal.before
    found = split(
        rehearsal.lab, rehearsal.operator, rehearsal.recovery, list(before.needed), 1, SMALL.files_mb * 10**6
    )
    parts = found.unavoidable
    assert parts.objects == len(before.needed)
    assert parts.object_bytes > 10**6
    assert min(parts.apt, parts.pull, parts.pg_restore) > 0
    assert {"packages", "Docker", "agent", "restore", "start"} <= found.phases.keys()
    assert {"database", "files", "switch"} <= found.restore.keys()
    # What was printed is the whole of it, but for the start of the program itself.
    assert 0 < found.phases["in all"] <= found.seconds
    plain, ours = recovery_tables(found)
    assert ["the recovery", found.seconds] in plain.rows
    assert len(ours.rows) == len(found.phases) + len(found.restore)
