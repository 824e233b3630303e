"""What is kept of drills, and which of them prove a backup."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.drill import drills
from loomio_backup.drill.drills import Drill, Scope

from .agent_samples import manifest

_BEGAN = datetime(2026, 11, 23, 2, tzinfo=UTC)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(tmp_path / "catalogue.sqlite") as opened:
        yield opened


def _drill(backup: str, number: int, *, passed: bool = True, scope: Scope = "whole") -> Drill:
    began = _BEGAN + timedelta(hours=number)
    return Drill(
        store="drive",
        backup=backup,
        snapshot_at=_BEGAN,
        started_at=began,
        finished_at=began + timedelta(minutes=5),
        scope=scope,
        passed=passed,
        problems=[] if passed else ["it is damaged"],
        phases={"fetch": 1.5},
        app="answered",
    )


def test_a_drill_comes_back_as_it_was_newest_first(catalogue: Catalogue) -> None:
    first, second = _drill("a", 1), _drill("b", 2, passed=False, scope="sample")
    elsewhere = _drill("a", 3).model_copy(update={"store": "local"})
    for drill in (first, second, elsewhere):
        drills.record(catalogue, drill)
    assert drills.load(catalogue, "drive") == [second, first]
    assert drills.load(catalogue) == [elsewhere, second, first]


def test_only_a_whole_drill_verifies_and_any_failure_takes_that_back(catalogue: Catalogue) -> None:
    drills.record(catalogue, _drill("sampled", 1, scope="sample"))
    drills.record(catalogue, _drill("whole", 2))
    drills.record(catalogue, _drill("whole", 3, scope="sample"))
    drills.record(catalogue, _drill("broken", 4))
    drills.record(catalogue, _drill("broken", 5, passed=False, scope="sample"))
    drills.record(catalogue, _drill("mended", 6, passed=False))
    drills.record(catalogue, _drill("mended", 7))
    assert drills.verified(catalogue, "drive") == {"whole", "mended"}
    assert drills.verified(catalogue, "local") == set()


def test_old_drills_are_forgotten_but_for_what_proves_a_backup_that_is_still_there(
    catalogue: Catalogue,
) -> None:
    kept = manifest()
    catalogue.add_manifest(kept, "sha", "md5")
    drills.record(catalogue, _drill(kept.name, 1))
    drills.record(catalogue, _drill("gone", 2))
    for number in range(3, drills.KEPT + 3):
        drills.record(catalogue, _drill(f"b{number}", number, scope="sample"))
    found = drills.load(catalogue, "drive")
    assert len(found) == drills.KEPT + 1
    assert found[-1].backup == kept.name
    assert drills.verified(catalogue, "drive") == {kept.name}


def test_a_drill_from_before_reports_were_kept_still_verifies(catalogue: Catalogue) -> None:
    catalogue.database.execute(
        "INSERT INTO drills (store, backup, finished_at, passed) VALUES ('drive', 'old', ?, 1)",
        (_BEGAN.isoformat(),),
    )
    assert drills.load(catalogue) == []
    assert drills.verified(catalogue, "drive") == {"old"}
