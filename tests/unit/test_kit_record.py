"""What is remembered about the kit, what it gives away, and when the operator is reminded."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from deploys.console import kit_record
from deploys.console.kit_content import PARTS, Kit, page_parts
from deploys.console.kit_lines import Sheet
from inventories.new_secrets import new_text
from inventories.secrets import Secrets, checked
from inventories.secrets_edit import with_values
from inventories.settings import Settings
from inventories.validation import SettingsError, validated
from loomio_backup import clock
from loomio_backup.encryption import crypto
from tests.unit.kit_bench import Old
from tests.unit.operator_desk import SETTINGS, Desk

TEXT = with_values(
    new_text(["loomio"]),
    {
        ("drive", "credentials"): {
            "type": "authorized_user",
            "client_id": "1-a.apps.googleusercontent.com",
            "client_secret": "GOCSPX-secret",
            "refresh_token": "1//token",
        }
    },
)
DRIVE = SETTINGS + "backup:\n  drive: {}\n"


def settings(text: str = DRIVE) -> Settings:
    return validated(Settings, text, "x")


def secrets(**values: object) -> Secrets:
    changes = {tuple(name.split("__")): value for name, value in values.items()}
    return checked(with_values(TEXT, changes), "x")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pi.yml"


def said(file: Path, now: Settings | None = None, with_: Secrets | None = None) -> str | None:
    return kit_record.remind(file, now or settings(), with_ or secrets())


def identity() -> str:
    return secrets().encryption.identity.get_secret_value()


def test_a_life_of_a_kit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no recovery kit" in str(said(file))
    kit_record.note_printed(file, settings(), secrets())
    assert said(file) == (
        "The recovery kit was printed, and never tried out. Prove that it works with: loomio-pi kit check"
    )
    assert kit_record.note_checked(file, identity(), "loomio_backup_20261123_020000")
    assert said(file) is None
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(days=364))
    assert said(file) is None
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(days=366, hours=1))
    assert str(said(file)).startswith("The recovery kit was tried out 366 days ago")


@pytest.mark.parametrize(
    ("text", "changes", "name"),
    [
        (DRIVE, {"encryption__signing_key": crypto.generate_signing_key()[0]}, "the signing key"),
        (DRIVE.replace("{}", "{folder_name: Another}"), {}, "the Drive folder"),
        (DRIVE.replace("git.example.org", "other.example.org"), {}, "the repository"),
        (DRIVE.replace("192.0.2.1", "192.0.2.2"), {}, "the Pi"),
        (DRIVE.replace("host: loomio.", "host: talk."), {}, "Loomio's address"),
        (DRIVE + "  local: off\n", {}, "the store on the Pi"),
        (SETTINGS, {}, "the OAuth client and the Drive folder"),
        (DRIVE, {"encryption__identity": crypto.generate_identity()}, "the key"),
    ],
)
def test_whatever_is_printed_and_changes_is_named(
    file: Path, text: str, changes: dict[str, object], name: str
) -> None:
    kit_record.note_printed(file, settings(), secrets())
    kit_record.note_checked(file, identity(), "x")
    assert said(file, settings(text), secrets(**changes)) == (
        f"The recovery kit on paper is out of date: {name} changed since. Print a new one with: loomio-pi kit"
    )


def test_what_is_not_printed_may_change(file: Path) -> None:
    kit_record.note_printed(file, settings(), secrets())
    kit_record.note_checked(file, identity(), "x")
    update = DRIVE.replace("v1.2.3", "v1.2.4") + "  schedule: '0 2 * * *'\n"
    assert said(file, settings(update), secrets(app__smtp_password="another")) is None


def test_a_new_key_has_to_be_tried_out_again(file: Path) -> None:
    kit_record.note_printed(file, settings(), secrets())
    kit_record.note_checked(file, identity(), "x")
    rotated = secrets(encryption__identity=crypto.generate_identity())
    kit_record.note_printed(file, settings(), rotated)
    assert str(said(file, with_=rotated)).startswith("The recovery kit has another key since it was checked")


def test_a_kit_that_was_checked_on_a_computer_where_none_was_printed(file: Path) -> None:
    assert kit_record.note_checked(file, identity(), "x")
    assert said(file) is None
    other = secrets(encryption__identity=crypto.generate_identity())
    assert "is for another key" in str(said(file, with_=other))


def test_somebody_else_s_key_is_no_check_of_the_kit(file: Path) -> None:
    kit_record.note_printed(file, settings(), secrets())
    assert not kit_record.note_checked(file, crypto.generate_identity(), "x")
    assert "never tried out" in str(said(file))


def test_the_record_gives_nothing_away(file: Path) -> None:
    kit_record.note_printed(file, settings(), secrets())
    kit_record.note_checked(file, identity(), "NAME")
    written = file.with_name("kit.json").read_text()
    for text in page_parts(settings(), secrets()).values():
        for piece in text.split():
            # "22" may well be in the hexadecimal digits.
            assert len(piece) < 4 or piece not in written
    # Another salt: two records of one kit have nothing in common.
    other = file.parent / "other" / "pi.yml"
    other.parent.mkdir()
    kit_record.note_printed(other, settings(), secrets())
    first, second = (json.loads(one.with_name("kit.json").read_text())["printed"] for one in (file, other))
    assert set(first.values()).isdisjoint(second.values())
    assert file.with_name("kit.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"salt": "x"}', '{"salt": "00", "printed_at": "no"}'])
def test_a_record_that_cannot_be_read_is_a_reminder(file: Path, text: str) -> None:
    file.with_name("kit.json").write_text(text)
    assert "Delete the file, then print a new kit" in str(said(file))
    with pytest.raises(SettingsError, match="is not as this program wrote it"):
        kit_record.note_checked(file, identity(), "x")


def test_client_ids_of_any_shape_come_back() -> None:
    for client_id in (
        "1-a.apps.googleusercontent.com",
        "plain",
        "a.b",
        "end.",
        "x.y.apps.googleusercontent.com",
    ):
        credentials = {
            "type": "authorized_user", "client_id": client_id, "client_secret": "s", "refresh_token": "r"
        }  # fmt: skip
        kit = Kit.of(settings(), secrets(drive__credentials=credentials))
        sheet = Sheet(PARTS)
        for line in kit.lines():
            sheet.take(str(line))
        assert Kit.typed(sheet.values()) == kit


def test_status_and_edit_remind(old: Old) -> None:
    done = old.desk.type("loomio-pi", "kit", "status")
    assert done.code == 1
    assert "There is no recovery kit" in done.stdout
    old.print_kit()
    kit_record.note_checked(old.desk.folder / "pi.yml", old.identity, "loomio_backup_20261123_020000")
    done = old.desk.type("loomio-pi", "kit", "status")
    assert done.code == 0
    assert "it opened loomio_backup_20261123_020000" in done.stdout
    assert done.stdout.endswith("The kit on paper is right.\n")
    editor = old.desk.folder / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/GOCSPX-[^"]*/GOCSPX-changed/\' "$1"\n')
    editor.chmod(0o755)
    edited = old.desk.type("loomio-pi", "secrets", "edit", EDITOR=str(editor))
    assert edited.code == 0, edited
    assert "The recovery kit on paper is out of date: the OAuth client changed since." in edited.stdout


def test_a_new_secrets_file_leads_to_the_kit(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prepare(None)
    done = desk.type("loomio-pi", "secrets", "init")
    assert "print the recovery kit: loomio-pi kit" in done.stdout
