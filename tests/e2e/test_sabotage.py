"""Whatever is damaged after a recovery, the comparison finds and names it: else its praise means nothing."""

from __future__ import annotations

import dataclasses

import pytest

from tests.lab.drill.judge import judge
from tests.lab.drill.life import Rehearsal
from tests.lab.drill.sabotage import SABOTAGES

from .conftest import Drill

pytestmark = [pytest.mark.lab, pytest.mark.drill]


def problems_now(rehearsal: Rehearsal) -> list[str]:
    """Judge the Pi as it is now, without touching the drill's own report."""
    report = dataclasses.replace(rehearsal.report, problems=[], phases=[])
    judge(dataclasses.replace(rehearsal, report=report))
    assert report.ok == (not report.problems)
    return report.problems


@pytest.mark.parametrize("kind", ["mode", "file", "row", "env", "object", "table"])
def test_sabotage_is_found_and_named(trixie: Drill, kind: str) -> None:
    before = problems_now(trixie.rehearsal)
    named = SABOTAGES[kind](trixie.rehearsal)
    new = [problem for problem in problems_now(trixie.rehearsal) if problem not in before]
    assert any(named in problem for problem in new), (named, new)
