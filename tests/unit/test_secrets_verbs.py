"""`loomio-pi secrets show|rekey|remember|forget|add-host`, with a passphrase that costs little work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
import yaml
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from deploys.console import secrets as verb
from inventories import system_keyring
from inventories.new_secrets import new_text
from inventories.passphrase import passphrase
from inventories.secrets import checked, load_secrets
from inventories.secrets_file import decrypted
from inventories.validation import SettingsError
from loomio_backup.encryption import age_passphrase, crypto

from . import operator_desk
from .operator_desk import PASSPHRASE, SETTINGS, Desk

TEXT = new_text(["loomio"]).replace("  smtp_password:\n", "  smtp_password: 'a, \"b\": c'\n")

OTHER = "another passphrase"
TWO = SETTINGS.replace(
    "stack:\n",
    "  school:\n    address: 192.0.2.2\n    settings: {stack: {canonical_host: school.example.org}}\n"
    "stack:\n",
    1,
)


class FileKeyring(KeyringBackend):
    """A keyring that keeps what it is told in a file, as the system's own do somewhere."""

    priority = 1

    def __init__(self, path: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path

    def _all(self) -> dict[str, str]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.path.write_text(json.dumps({**self._all(), f"{service} {username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        known = self._all()
        if known.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError(username)
        self.path.write_text(json.dumps(known))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    desk.prepare(operator_desk.encrypted(TEXT))
    for name, value in desk.variables().items():
        if name.startswith("LOOMIO_PI_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(age_passphrase, "_WORK", 8)
    return desk


@pytest.fixture
def own_keyring(tmp_path: Path) -> Iterator[FileKeyring]:
    """The system's keyring is a file of this test."""
    before = keyring.get_keyring()
    mine = FileKeyring(tmp_path / "keyring.json")
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


def values(text: str = TEXT) -> list[str]:
    """Every secret in the text."""
    data = yaml.safe_load(text)
    return [value for group in ("encryption", "app") for value in data[group].values() if value]


def test_show_names_everything_and_shows_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main(["show"]) == 0
    shown = capsys.readouterr().out
    assert [value for value in values() if value in shown] == []
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines["app.smtp_password"] == lines["app.devise_secret"] == "(hidden)"
    assert lines["drive.credentials"] == lines["alerts.urls"] == "(empty)"
    recipient = crypto.recipient_of(values()[0])
    assert lines["encryption.identity"] == f"(hidden) opens what is encrypted to {recipient}"


def test_reveal_prints_one_secret_and_nothing_else(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main(["show", "--reveal", "app.smtp_password"]) == 0
    assert capsys.readouterr().out == 'a, "b": c\n'
    for name, sentence in (
        ("app.smtp_pasword", "no secret called app.smtp_pasword in .*Did you mean app.smtp_password"),
        ("drive.credentials", r"drive\.credentials is empty"),
        ("x", "Their names: loomio-pi secrets show"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            verb.main(["show", "--reveal", name])
    assert capsys.readouterr().out == ""


def test_rekey_changes_the_passphrase_and_nothing_else(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = desk.folder / "new"
    new.write_text(f"{OTHER}\n")
    new.chmod(0o644)
    before = desk.secrets.read_bytes()
    with pytest.raises(SettingsError, match=r"--new-passphrase-file.* can be read by other users"):
        verb.main(["rekey", "--new-passphrase-file", str(new)])
    new.chmod(0o600)
    new.write_text("short\n")
    with pytest.raises(SettingsError, match="has 5 characters"):
        verb.main(["rekey", "--new-passphrase-file", str(new)])
    new.write_text(f"{PASSPHRASE}\n")
    with pytest.raises(SettingsError, match=r"has already\. Nothing was changed"):
        verb.main(["rekey", "--new-passphrase-file", str(new)])
    assert desk.secrets.read_bytes() == before
    new.write_text(f"{OTHER}\n")
    assert verb.main(["rekey", "--new-passphrase-file", str(new)]) == 0
    assert OTHER not in capsys.readouterr().out
    assert decrypted(desk.secrets, OTHER) == TEXT
    assert desk.secrets.stat().st_mode & 0o7777 == 0o600
    with pytest.raises(SettingsError, match="does not open with this passphrase"):
        decrypted(desk.secrets, PASSPHRASE)


def test_the_keyring_remembers_the_right_passphrase_only(
    desk: Desk, own_keyring: FileKeyring, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    word = desk.folder / "passphrase"
    word.write_text("a wrong passphrase\n")
    with pytest.raises(SettingsError, match="does not open with this passphrase"):
        verb.main(["remember"])
    assert not own_keyring.path.exists()
    word.write_text(f"{PASSPHRASE}\n")
    assert verb.main(["remember"]) == 0
    monkeypatch.delenv("LOOMIO_PI_PASSPHRASE_FILE")
    assert load_secrets(desk.secrets, passphrase("it", desk.secrets)) == checked(TEXT, "x")
    # A new passphrase is remembered, too.
    new = desk.folder / "new"
    new.write_text(f"{OTHER}\n")
    new.chmod(0o600)
    assert verb.main(["rekey", "--new-passphrase-file", str(new)]) == 0
    assert verb.main(["show"]) == 0
    # Changed elsewhere: what has to be put right is the keyring.
    desk.secrets.write_bytes(operator_desk.encrypted(TEXT))
    with pytest.raises(SettingsError, match=r"in the system's keyring.* loomio-pi secrets remember"):
        verb.main(["show"])
    assert verb.main(["forget"]) == 0
    assert "has forgotten" in capsys.readouterr().out
    assert verb.main(["forget"]) == 0
    assert "did not know" in capsys.readouterr().out
    with pytest.raises(SettingsError, match=r"The passphrase of .* is needed"):
        verb.main(["show"])


def test_without_a_keyring_nothing_is_missed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())  # type: ignore[no-untyped-call]
    try:
        assert system_keyring.recalled(desk.secrets) is None
        assert not system_keyring.forget(desk.secrets)
        with pytest.raises(SettingsError, match="did not take the passphrase"):
            verb.main(["remember"])
    finally:
        keyring.set_keyring(before)


def test_one_more_pi_gets_keys_of_its_own(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError, match=r"There is no Pi school in .* Write it there first"):
        verb.main(["add-host", "school"])
    (desk.folder / "pi.yml").write_text(TWO)
    assert verb.main(["add-host", "school"]) == 0
    text = decrypted(desk.secrets, PASSPHRASE)
    assert text.startswith(TEXT)
    shared, own = checked(text, "x", "loomio"), checked(text, "x", "school")
    assert shared.app == checked(TEXT, "x").app
    for group, key in (("app", "secret_key_base"), ("encryption", "identity"), ("encryption", "signing_key")):
        assert getattr(getattr(shared, group), key) != getattr(getattr(own, group), key)
    assert own.drive == shared.drive
    said = capsys.readouterr().out
    assert [value for value in values(text) if value in said] == []
    with pytest.raises(SettingsError, match=r"hosts\.school\.secrets is in .* already"):
        verb.main(["add-host", "school"])


def test_a_file_for_several_pis_has_keys_for_each(desk: Desk) -> None:
    desk.secrets.unlink()
    (desk.folder / "pi.yml").write_text(TWO)
    assert verb.main(["init"]) == 0
    text = decrypted(desk.secrets, PASSPHRASE)
    assert checked(text, "x", "loomio").app != checked(text, "x", "school").app


def test_a_new_key_for_one_of_several_pis(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk.folder / "pi.yml").write_text(TWO)
    verb.main(["add-host", "school"])
    before = decrypted(desk.secrets, PASSPHRASE)
    with pytest.raises(SettingsError, match="Say which one is meant: loomio-pi --host loomio"):
        verb.main(["rotate-key"])
    monkeypatch.setenv("LOOMIO_PI_HOST", "school")
    assert verb.main(["rotate-key"]) == 0
    after = decrypted(desk.secrets, PASSPHRASE)
    assert checked(after, "x", "loomio").encryption == checked(before, "x", "loomio").encryption
    old, new = checked(before, "x", "school").encryption, checked(after, "x", "school").encryption
    assert new.old_identities == [old.identity]
    assert new.keyring is not None
