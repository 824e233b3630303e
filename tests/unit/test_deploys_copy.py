"""Which objects of the operator's copy travel to a new Pi."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploys.console.deploy import _from_here
from deploys.steps import copy
from deploys.steps.preflight import Target
from inventories.new_secrets import new_text
from inventories.secrets import checked
from tests.fake.scripted import FRESH

from . import deploys_desk as desk
from .pull_bench import PiBackups, flip

TEXT = new_text(["loomio"])


@pytest.fixture
def pi(tmp_path: Path) -> PiBackups:
    made = PiBackups(tmp_path / "copy", TEXT)
    for number in range(5):
        made.make([f"app-data_{number}", "app-data_shared"])
    return made


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target("loomio", desk.settings(tmp_path), checked(TEXT, "x"), FRESH, {})


def names(pi: PiBackups, target: Target) -> list[str]:
    return [upload.name for upload in copy.uploads(pi.folder, target)[0]]


def test_the_newest_three_and_each_manifest_after_what_it_needs(pi: PiBackups, target: Target) -> None:
    travelling = names(pi, target)
    manifests = [name for name in travelling if name.endswith(".manifest.age")]
    assert manifests == [one.manifest_name for one in reversed(pi.made[2:])]
    for made in pi.made[2:]:
        place = travelling.index(made.manifest_name)
        assert all(travelling.index(entry.name) < place for entry in made.objects)
    assert len(travelling) == len(set(travelling))
    assert "app-data_0.tar.zst.age" not in travelling


def test_one_that_is_not_whole_is_left_out_and_named(pi: PiBackups, target: Target) -> None:
    newest = pi.made[-1]
    (pi.folder / f"{newest.name}.dump.zst.age").unlink()
    flip(pi.folder / pi.made[0].manifest_name)
    found, said = copy.uploads(pi.folder, target)
    assert newest.manifest_name not in {upload.name for upload in found}
    assert any(f"{newest.name} is not whole in" in sentence for sentence in said)
    assert any(f"{pi.made[0].manifest_name} in" in sentence for sentence in said)


def test_keyrings_travel_too(pi: PiBackups, target: Target) -> None:
    (pi.folder / "keyring_0123456789abcdef.age").write_text("ring")
    (pi.folder / "holiday.jpg").write_text("no object")
    travelling = names(pi, target)
    assert travelling[0] == "keyring_0123456789abcdef.age"
    assert "holiday.jpg" not in travelling


def test_another_pis_copy_is_nothing(pi: PiBackups, tmp_path: Path) -> None:
    other = Target("loomio", desk.settings(tmp_path), desk.secrets(), FRESH, {})
    found, said = copy.uploads(pi.folder, other)
    assert found == ()
    assert len(said) == 5


def test_the_folder_is_meant_from_where_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--data", "from=backups/loomio", "--data", "label=from=x", "from=y"]
    assert _from_here(given) == ["--data", f"from={tmp_path}/backups/loomio", *given[2:]]
