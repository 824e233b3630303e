"""An older stack's .env becomes settings that mean the same; its secrets are named and never shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deploys.console import import_env
from inventories.legacy_env import FOLLOWING, SECRETS, understood
from inventories.secrets import Secrets
from inventories.settings import load_settings
from inventories.validation import SettingsError, known_keys
from inventories.variables import SETTINGS_VARIABLE

#: As the older stack's guide writes it, comments, quotes and all.
GUIDE = """\
# Backup schedule (cron format)
BACKUP_SCHEDULE=0 */6 * * *  # Every 6 hours

BACKUP_RETENTION_DAYS=30
BACKUP_ENCRYPTION_KEY=s3cret-0123456789abcdef

export GDRIVE_ENABLED=true
GDRIVE_FOLDER_ID=1a2B3c
GDRIVE_CREDENTIALS='{"type":"service_account","private_key":"s3cret-key","client_email":"a@b.c"}'
SITE_NAME="Our # Group"
CANONICAL_HOST=loomio.example.org
SUPPORT_EMAIL=help@example.org
SMTP_SERVER=smtp.example.org
SMTP_PORT=465
SMTP_USERNAME=me
SMTP_PASSWORD=s3cret-mail
SMTP_USE_SSL=1
SMTP_DOMAIN=example.org
POSTGRES_PASSWORD=s3cret/with+odd=characters
SECRET_COOKIE_TOKEN=s3cret-cookie
DEVISE_SECRET=
TZ=Europe/Berlin
MY_OWN=s3cret-perhaps
"""


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SETTINGS_VARIABLE, str(tmp_path / "pi.yml"))
    file = tmp_path / "old.env"
    file.write_text(GUIDE)
    return file


def filled_in(text: str) -> str:
    """What the operator adds."""
    for key, value in (
        ("address", "192.0.2.1"),
        ("repository", "https://x.example.org/y.git"),
        ("ref", "v1"),
    ):
        text, count = re.subn(rf"(?m)^( *{key}:)  # you.*$", rf"\1 {value}", text)
        assert count == 1, key
    return text


def test_the_settings_mean_the_same(env: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_env.main([str(env)]) == 0
    printed = capsys.readouterr()
    assert not (tmp_path / "pi.yml").exists()
    (tmp_path / "pi.yml").write_text(filled_in(printed.out))
    settings = load_settings(tmp_path / "pi.yml")
    assert settings.backup.schedule == "0 */6 * * *"
    assert settings.backup.retention.days == 30
    assert settings.backup.drive is not None
    assert settings.backup.drive.folder_id == "1a2B3c"
    assert settings.timezone == "Europe/Berlin"
    assert settings.stack.site_name == "Our # Group"
    assert settings.stack.canonical_host == "loomio.example.org"
    assert settings.stack.smtp is not None
    assert (settings.stack.smtp.port, settings.stack.smtp.use_ssl) == (465, True)


def test_secrets_are_named_and_never_shown(env: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_env.main([str(env)])
    printed = capsys.readouterr()
    assert "s3cret" not in printed.out + printed.err
    for name in ("BACKUP_ENCRYPTION_KEY", "GDRIVE_CREDENTIALS", "SMTP_PASSWORD", "SECRET_COOKIE_TOKEN"):
        assert f"  {name} is {SECRETS[name]}\n" in printed.err
    # Empty there, so there is nothing to carry over.
    assert "DEVISE_SECRET" not in printed.err
    assert "Not carried over: MY_OWN." in printed.err
    assert "SMTP_DOMAIN" not in printed.err
    assert "service account" in printed.err
    assert "30 days" in printed.err


def test_every_secret_has_its_place() -> None:
    assert set(SECRETS.values()) <= set(known_keys(Secrets))
    assert not FOLLOWING & SECRETS.keys()


def test_write_makes_a_new_file_and_never_replaces_one(
    env: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_env.main([str(env), "--write"]) == 0
    assert "Fill in what is marked" in capsys.readouterr().out
    written = (tmp_path / "pi.yml").read_text()
    assert yaml.safe_load(written)["backup"]["schedule"] == "0 */6 * * *"
    # Until then it is refused, with the key that is missing.
    with pytest.raises(SettingsError, match=r"hosts\.loomio\.address is empty"):
        load_settings(tmp_path / "pi.yml")
    with pytest.raises(SettingsError, match="exists already and was left as it is"):
        import_env.main([str(env), "--write"])
    assert (tmp_path / "pi.yml").read_text() == written


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("BACKUP_SCHEDULE=hourly", "old.env: BACKUP_SCHEDULE: 'hourly' is not a cron expression"),
        ("BACKUP_RETENTION_DAYS=a month", "BACKUP_RETENTION_DAYS: 'a month' is not a whole number"),
        ("CANONICAL_HOST=https://x.org", "CANONICAL_HOST: 'https://x.org' is not a host name"),
        ("SMTP_AUTH=digest", "SMTP_AUTH: 'digest' is none of plain, login, cram_md5"),
    ],
)
def test_a_value_that_cannot_be_meant_is_one_sentence(env: Path, line: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        understood(line + "\n", "old.env")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["false", "0", "no", ""])
def test_drive_that_was_off_is_off(value: str) -> None:
    found = understood(f"GDRIVE_ENABLED={value}\nGDRIVE_FOLDER_ID=abc\nSMTP_PORT=25\n", "x")
    assert found.settings["backup"] == {"drive": False}
    assert "smtp" not in found.settings["stack"]
    assert len(found.notes) == 2


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.env cannot be read: No such file"):
        import_env.main([str(tmp_path / "nothing.env")])
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        import_env.main([str(tmp_path / "binary")])
