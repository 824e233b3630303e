"""A short sample of the series that `make faults` runs in full: retention on random histories and lives."""

from __future__ import annotations

import pytest

from tests.faults import retention_decisions, retention_life


@pytest.mark.parametrize("name", retention_decisions.CHECKS)
def test_decisions_on_random_histories(name: str) -> None:
    retention_decisions.holds(name, examples=60, fixed=True)


def test_random_lives() -> None:
    retention_life.holds(examples=12, steps=25, fixed=True)
