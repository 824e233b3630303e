"""What makes the newest backup of a store one to worry about: its age by the schedule, and manifests that
cannot be used.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from loomio_backup import crypto
from loomio_backup.catalogue import Catalogue
from loomio_backup.check import Verdict, judge
from loomio_backup.config import Config, LocalStore, Stores
from loomio_backup.history import History
from loomio_backup.stores.local import LocalFolder

from .agent_samples import manifest

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def _judge(tmp_path: Path, age: timedelta, **more: object) -> Verdict:
    """The verdict on a store with one backup of this age that needs no objects."""
    config = Config(
        host="pi",
        app_data=[],
        stores=Stores(local=LocalStore(path=tmp_path / "disk"), drive=None),
        recipients=[crypto.recipient_of(crypto.generate_identity())],
        signing_public_key=crypto.generate_signing_key()[1],
        application_keys=[],
    )
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        summary = catalogue.add_manifest(manifest(snapshot_at=NOW - age, objects=[]), "s" * 64, "m" * 32)
        history = History("local", [summary], **more)  # type: ignore[arg-type]
        return judge(config, LocalFolder(tmp_path / "disk"), history, catalogue, NOW)


def test_a_backup_of_the_future_is_a_problem(tmp_path: Path) -> None:
    assert _judge(tmp_path, timedelta(minutes=30)).problems == []
    assert _judge(tmp_path, timedelta(minutes=-4)).ok
    [problem] = _judge(tmp_path, timedelta(minutes=-6)).problems
    assert "in the future" in problem
    [problem] = _judge(tmp_path, timedelta(hours=3)).problems
    assert "3 h 0 min old" in problem


def test_one_good_backup_does_not_excuse_damaged_and_foreign_manifests(tmp_path: Path) -> None:
    damaged = [("one.manifest.age", "it is cut off"), ("two.manifest.age", "somebody else signed it")]
    verdict = _judge(tmp_path, timedelta(0), damaged=damaged, foreign=["three.manifest.age"])
    assert (verdict.ok, verdict.complete, len(verdict.problems)) == (False, False, 3)
    for problem, name in zip(verdict.problems, ("one", "two", "three"), strict=True):
        assert f"{name}.manifest.age" in problem
