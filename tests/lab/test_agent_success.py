"""What follows a success, and only a success: the look for ruins, retention, the record of the run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup import clock
from loomio_backup.backup import backup
from loomio_backup.config import LocalStore, Retention, Stores
from loomio_backup.credentials import Credentials

from .agent_site import Site, site
from .test_agent_faults import _fails, _manifests

pytestmark = pytest.mark.lab

ONE = Retention(hourly=1, daily=0, weekly=0, monthly=0, yearly=0)


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "pi", "agent-after", local=tmp_path / "disk") as made:
        made.fill()
        yield made


def _keep_one(pi: Site, tmp_path: Path) -> None:
    stores = Stores(local=LocalStore(path=tmp_path / "disk", retention=ONE))
    pi.write_config(pi.config.model_copy(update={"stores": stores}))


def _runs(pi: Site) -> list[tuple[str, str | None, str | None]]:
    """Outcome, backup and error of every run, oldest first."""
    with sqlite3.connect(pi.root / "state" / "catalogue.sqlite") as catalogue:
        return catalogue.execute("SELECT outcome, backup, error FROM runs WHERE verb = 'run'").fetchall()


def test_a_collapse_keeps_what_was_before(pi: Site, tmp_path: Path) -> None:
    _keep_one(pi, tmp_path)
    pi.must("run")
    [good] = _manifests(pi)
    pi.sql("DELETE FROM users WHERE id > 10")
    output = pi.must("run")
    assert "warning: rows" in output
    assert "retention is frozen" in output
    assert (tmp_path / "disk" / good.replace(".manifest.", ".pin.")).exists()
    for _ in range(2):
        pi.must("run")
    assert good in _manifests(pi)
    assert len(_manifests(pi)) == 4
    pi.must("prune", "--resume")
    pi.must("run")
    # Pinned it stays, until a person says otherwise.
    assert good in _manifests(pi)
    assert len(_manifests(pi)) == 2


def test_retention_follows_success_and_never_a_failure(pi: Site, tmp_path: Path) -> None:
    pi.must("run")
    pi.must("run")
    assert len(_manifests(pi)) == 2
    _keep_one(pi, tmp_path)
    database = pi.config.database.model_copy(update={"name": "nowhere"})
    right = pi.config
    pi.write_config(pi.config.model_copy(update={"database": database}))
    said = _fails(pi, "run")
    assert len(_manifests(pi)) == 2
    pi.write_config(right)
    pi.must("run")
    assert len(_manifests(pi)) == 1
    assert [outcome for outcome, _, _ in _runs(pi)] == ["complete", "complete", "failed", "complete"]
    assert said == f"loomio-backup: {_runs(pi)[2][2]}\n"
    assert f"{_runs(pi)[3][1]}.manifest.age" in _manifests(pi)


def test_while_nobody_has_set_the_clock_nothing_old_is_removed(
    pi: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.must("run")
    _keep_one(pi, tmp_path)
    monkeypatch.setattr(clock, "synchronised", lambda: False)
    config = pi.config.model_copy(update={"clock_wait_seconds": 1})
    made = backup.run(config, Credentials(config.credentials_directory))
    assert any("clock of this Pi is not synchronised" in warning for warning in made.warnings)
    assert len(_manifests(pi)) == 2
    monkeypatch.setattr(clock, "synchronised", lambda: True)
    backup.run(config, Credentials(config.credentials_directory))
    assert len(_manifests(pi)) == 1
