"""What makes the newest backup of a store one to worry about: its age by the schedule, and manifests that
cannot be used.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue, Lineage
from loomio_backup.catalogue.check import Verdict, judge
from loomio_backup.catalogue.history import History
from loomio_backup.catalogue.lineage import strangers
from loomio_backup.config import Config, LocalStore, Stores
from loomio_backup.encryption import crypto
from loomio_backup.errors import RestoreError
from loomio_backup.restore.restore_choice import Wish, candidates
from loomio_backup.stores import Store
from loomio_backup.stores.local import LocalFolder

from .agent_samples import manifest, summary

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def _config(tmp_path: Path) -> Config:
    return Config(
        host="pi",
        app_data=[],
        stores=Stores(local=LocalStore(path=tmp_path / "disk"), drive=None),
        recipients=[crypto.recipient_of(crypto.generate_identity())],
        signing_public_key=crypto.generate_signing_key()[1],
        application_keys=[],
    )


def _judge(tmp_path: Path, age: timedelta, **more: object) -> Verdict:
    """The verdict on a store with one backup of this age that needs no objects."""
    config = _config(tmp_path)
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


def test_another_loomios_backup_is_named(tmp_path: Path) -> None:
    """The keys are the same, so it can be read: a Pi that was copied, or a folder that two share."""
    other = summary(7, instance="o" * 32)
    assert [one.name for one in strangers(None, [summary(1), other])] == [summary(1).name, other.name]
    assert strangers(None, [other]) == []
    own = Lineage("i" * 32, 1, 1, None)
    assert strangers(own, [summary(1), other]) == [other]
    assert strangers(own, [other]) == [other]


def _choice(*instances: str) -> dict[str, History]:
    backups = [summary(number, instance=name * 32) for number, name in enumerate(instances, start=1)]
    return {"local": History("local", backups)}


def test_the_newest_is_never_another_loomios(tmp_path: Path) -> None:
    newest = Wish(newest=True, unattended=True)
    stores: dict[str, Store] = {"local": LocalFolder(tmp_path / "disk")}
    own = Lineage("i" * 32, 1, 1, None)

    def chosen(wish: Wish, instances: str, lineage: Lineage | None) -> list[int]:
        found = candidates(_config(tmp_path), wish, stores, _choice(*instances), lineage)
        return [candidate.summary.sequence for candidate in found]

    assert chosen(newest, "iio", own) == [2, 1]
    # A Pi that is given another Loomio's folder on purpose, or that has no history.
    for lineage in (own, None):
        assert chosen(newest, "oo", lineage) == [2, 1]
    with pytest.raises(RestoreError, match="several Loomios") as caught:
        chosen(newest, "oop", None)
    assert "loomio_backup_1_2, loomio_backup_1_3" in str(caught.value)
    assert chosen(Wish(backup="loomio_backup_1_3", unattended=True), "oop", None) == [3]
