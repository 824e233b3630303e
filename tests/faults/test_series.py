"""A short sample of each series; `make faults` runs them whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.agent_site import site

from . import drive_restores, mutation_series, restore_series, store_runs
from .kill_series import SCENARIOS, every_step, random_moments
from .restore_rig import restore_rig
from .rig import rig
from .source_series import CASES, cutting_image, fails_and_removes_nothing
from .writers_series import run_series

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("verb", SCENARIOS)
def test_killed_at_a_durable_step(tmp_path: Path, verb: str) -> None:
    with rig(tmp_path, seed=1) as made:
        tally = every_step(made, verb, sample=3)
        assert tally.by_step.total() == 3
        tally = random_moments(made, verb, 2, restore_every=2)
        assert tally.by_moment.total() == 2


def test_a_restore_is_killed(tmp_path: Path) -> None:
    with restore_rig(tmp_path, seed=4) as made:
        tally = restore_series.every_step(made, 3)
        assert tally.phases.total() == 3
        assert {"the old", "the new"} <= set(tally.settled)


def test_a_restore_in_streaming_mode_is_killed(tmp_path: Path) -> None:
    with restore_rig(tmp_path, seed=5) as made:
        assert restore_series.every_step(made, 2, "--streaming").phases.total() == 2


def test_a_restore_while_drive_fails_and_when_it_is_gone(tmp_path: Path) -> None:
    with drive_restores.drive_restores(tmp_path, seed=6, both=False) as made:
        result = drive_restores.run_sample(made)
        assert set(result.ends) == {
            (drive_restores.LIVE, drive_restores.DONE),
            (drive_restores.LIVE, drive_restores.FAILED),
        }
        assert result.idle == 0


def test_backups_under_fire(tmp_path: Path) -> None:
    with (
        site(tmp_path / "pi", "faults-fire", local=tmp_path / "disk") as pi,
        site(tmp_path / "fresh", "faults-fire2", local=tmp_path / "disk", keys=pi) as fresh,
    ):
        pi.fill()
        outcome = run_series(pi, fresh, backups=2)
        assert outcome.disturbances > 10
        assert outcome.purged > 0


def test_a_broken_source_removes_nothing(tmp_path: Path) -> None:
    image = cutting_image(tmp_path)
    with rig(tmp_path / "rig", seed=2, image=image) as made:
        for case in CASES:
            fails_and_removes_nothing(made, case)


def test_backups_while_drive_misbehaves(tmp_path: Path) -> None:
    with rig(tmp_path, seed=3) as made:
        result = store_runs.run_series(made, sample=2)
        assert (result.runs, result.restored) == (2, 1)


def test_mutated_objects_are_noticed(tmp_path: Path) -> None:
    result = mutation_series.run_series(tmp_path, sample=12, in_drive=3, restores=2, name="faults-mutated")
    assert result.noticed.total() == result.mutations.total() == 12 + 3 + 3
    assert result.in_drive == 6
    assert result.restored.total() == 2
    assert len(result.shortened) == 2 * 5
    assert len(result.harmless) == 7
