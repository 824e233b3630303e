"""A short sample of the long series of faults at a store (tests/faults/store_series.py; `make faults`)."""

from __future__ import annotations

from pathlib import Path

from tests.faults.store_series import DONE, run_series


def test_a_sample_of_the_faults_at_a_store(tmp_path: Path) -> None:
    result = run_series(tmp_path, sample=8)
    ends = {end for _, end in result.ends}
    assert result.cases == 24
    assert DONE in ends
    assert "StoreUnavailable" in ends
    assert result.idle < result.cases / 4
