"""`show NAME`: everything about one backup, in one place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.command import cli
from loomio_backup.config import dump
from loomio_backup.encryption import crypto, keyring
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_backups import Shelf, shelf


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Shelf]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        made = shelf(tmp_path, emulator)
        made.share("app-data_1.tar.zst.age", b"files " * 10_000)
        made.backup()
        yield made


def _run(pi: Shelf, *arguments: str) -> int:
    return cli.main(["--config", str(pi.root / "config.yml"), *arguments])


def test_what_a_backup_holds_and_where_it_is(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    [backup] = pi.made
    (pi.disk / f"{backup.name}.dump.zst.age").unlink()
    assert _run(pi, "pin", backup.name, "--reason", "before the move") == 0
    capsys.readouterr()
    assert _run(pi, "show", backup.name) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{backup.name}  (1.1, scheduled)\n")
    assert f"in local  {backup.name}.dump.zst.age, which {backup.name} needs, is missing" in text
    assert "in drive  complete" in text
    assert "by a person: before the move" in text
    assert "         4  public.topics" in text
    assert f"{crypto.fingerprint(pi.config.recipients[0])}  3 objects, in use now; this Pi has it" in text

    assert _run(pi, "show", backup.name, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["database"]["tables"] == backup.database.tables
    assert {entry["name"]: entry["stores"] for entry in found["objects"]} == {
        f"{backup.name}.dump.zst.age": ["drive"],
        f"{backup.name}.config.tar.zst.age": ["local", "drive"],
        f"{backup.name}.sql.enc": ["local", "drive"],
        "app-data_1.tar.zst.age": ["local", "drive"],
    }
    assert [found["stores"][kind]["complete"] for kind in ("local", "drive")] == [False, True]
    assert found["stores"]["drive"]["pin"]["reason"] == "before the move"


def test_a_backup_that_only_one_store_has(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    second = pi.backup(only=["local"])
    assert _run(pi, "show", second.name) == 0
    assert "in drive  it is not there" in capsys.readouterr().out
    assert _run(pi, "show", "loomio_backup_x") == 1
    assert "there is no backup loomio_backup_x. See loomio-backup list." in capsys.readouterr().err


def test_an_earlier_key_is_told_and_found_in_the_keyring(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key was changed, and this Pi has only the new one."""
    [backup] = pi.made
    new = crypto.generate_identity()
    recipients = [crypto.recipient_of(new)]
    (pi.config.credentials_directory / "identity").write_text(new)
    (pi.root / "config.yml").write_text(dump(pi.config.model_copy(update={"recipients": recipients})))
    old = crypto.fingerprint(pi.config.recipients[0])
    assert _run(pi, "show", backup.name) == 0
    assert f"{old}  3 objects, earlier, or another's; not on this Pi" in capsys.readouterr().out
    data = keyring.make([pi.identity], recipients).encode()
    (pi.disk / keyring.object_name(data)).write_bytes(data)
    assert _run(pi, "show", backup.name) == 0
    assert f"{old}  3 objects, earlier, or another's; this Pi has it" in capsys.readouterr().out


def test_a_store_that_does_not_answer_is_told_after_what_the_other_holds(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    [backup] = pi.made
    lab = LabDrive(pi.config.stores.drive.api_root)  # type: ignore[union-attr]
    lab.fault("status", times=None, match={"operation": "files.list"}, status=403)
    assert _run(pi, "show", backup.name) == 1
    said = capsys.readouterr()
    assert "in local  complete" in said.out
    assert "in drive" not in said.out
    assert said.err.startswith("loomio-backup: drive: ")


def test_status_tells_which_earlier_keys_can_be_dropped(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    old = crypto.generate_identity()
    print_ = crypto.fingerprint(crypto.recipient_of(old))
    (pi.config.credentials_directory / "identity").write_text(f"{pi.identity}\n{old}\n")
    assert _run(pi, "status") == 0
    said = capsys.readouterr().out
    assert f"key not needed:     {print_} (it can be dropped from the secrets file)" in said
    assert f"key needed:         {crypto.fingerprint(pi.config.recipients[0])} (on this Pi)" in said
    # While a store cannot be asked, nobody knows.
    lab = LabDrive(pi.config.stores.drive.api_root)  # type: ignore[union-attr]
    lab.fault("status", times=None, match={"operation": "files.list"}, status=403)
    _run(pi, "status")
    assert "key not needed" not in capsys.readouterr().out
