"""`candidate`: the backup that a recovery would take, and what it says about it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.command import cli
from loomio_backup.config import dump
from tests.lab.drive import DriveEmulator

from .agent_backups import Shelf, shelf
from .pull_bench import flip


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Shelf]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        made = shelf(tmp_path, emulator)
        made.share("app-data_1.tar.zst.age", b"files " * 10_000)
        made.backup()
        made.backup()
        yield made


def asked(pi: Shelf, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["--config", str(pi.root / "config.yml"), "candidate", "--json", *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_is_the_newest(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(pi, capsys)
    assert (found["backup"], found["stores"]) == (pi.made[1].name, ["local", "drive"])
    assert (found["passed_over"], found["stale"], found["unread"]) == ([], None, [])
    assert found["stack"] == {"commit": None, "images": {}}
    assert (found["postgresql_version"], found["server_version_num"]) == ("17.6", 170006)


def test_one_that_lacks_an_object_is_passed_over_and_the_object_named(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = pi.made
    lacking = f"{newer.name}.dump.zst.age"
    (pi.disk / lacking).unlink()
    # Drive has it still: a restore would take it from there.
    assert asked(pi, capsys)["backup"] == newer.name
    found = asked(pi, capsys, "--store", "local")
    assert found["backup"] == older.name
    reason = f"{lacking}, which it needs, is missing in local."
    assert found["passed_over"] == [{"backup": newer.name, "reason": reason}]


def test_one_whose_manifest_is_damaged_is_passed_over(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    older, newer = pi.made
    flip(pi.disk / newer.manifest_name)
    found = asked(pi, capsys, "--store", "local")
    assert found["backup"] == older.name
    [passed] = found["passed_over"]
    assert passed["backup"] == newer.name
    assert newer.manifest_name in passed["reason"]


def test_an_older_one_can_be_asked_for(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(pi, capsys, "--backup", pi.made[0].name)["backup"] == pi.made[0].name


def test_one_that_was_asked_for_by_name_says_what_it_lacks(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    older = pi.made[0]
    (pi.disk / f"{older.name}.dump.zst.age").unlink()
    found = asked(pi, capsys, "--backup", older.name, "--store", "local")
    assert found["backup"] == older.name
    assert [one["backup"] for one in found["passed_over"]] == [older.name]


def test_what_drive_holds_damaged_is_passed_over(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    older, newer = pi.made
    name = f"{newer.name}.dump.zst.age"
    stored = pi.stores["drive"].stat(name)
    assert stored is not None
    pi.stores["drive"].delete(stored)
    other = pi.root / "other"
    other.write_bytes(b"x" * stored.size)
    pi.stores["drive"].put(name, other, as_it_is(other))
    found = asked(pi, capsys, "--store", "drive")
    assert found["backup"] == older.name
    assert found["passed_over"][0]["reason"] == f"{name}, which it needs, is damaged in drive."


def test_the_identity_may_be_lent(
    pi: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (pi.config.credentials_directory / "identity").unlink()
    # As on a new Pi: its own key opens nothing that the old one wrote.
    fresh = pi.config.model_copy(update={"state_directory": pi.root / "new"})
    (pi.root / "config.yml").write_text(dump(fresh))
    assert cli.main(["--config", str(pi.root / "config.yml"), "candidate", "--json"]) == 1
    assert "no key of this Pi opens" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(pi.identity + "\n"))
    assert asked(pi, capsys, "--lent-identity")["backup"] == pi.made[1].name


def test_without_any_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = shelf(tmp_path)
    assert cli.main(["--config", str(made.root / "config.yml"), "candidate"]) == 1
    assert "there is no backup to come back from. Nothing was changed." in capsys.readouterr().err


def test_people_read_it_in_sentences(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--config", str(pi.root / "config.yml"), "candidate"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{pi.made[1].name}, ")
    assert "in local and drive: PostgreSQL 17.6, commit unknown" in text
