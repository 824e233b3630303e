"""The agent's configuration and credentials, built from settings and secrets."""

from pathlib import Path
from typing import Any

import yaml

from deploys.steps import agent_config
from loomio_backup import config, crypto

from . import deploys_desk as desk

DRIVE: dict[str, Any] = {
    "type": "authorized_user",
    "client_id": "id",
    "client_secret": "secret",
    "refresh_token": "token",
}


def test_defaults(tmp_path: Path) -> None:
    secrets = desk.secrets()
    built = agent_config.build(desk.settings(tmp_path), secrets, desk.HOST)
    assert built.host == desk.HOST
    assert built.recipients == [crypto.recipient_of(secrets.encryption.identity.get_secret_value())]
    assert built.stores.local is not None
    assert built.stores.local.path == Path("/var/backups/loomio")
    assert built.stores.drive is None
    assert [source.volume for source in built.app_data] == [
        "loomio-pi-stack_storage",
        "loomio-pi-stack_uploads",
        "loomio-pi-stack_files",
        "loomio-pi-stack_plugins",
    ]
    assert Path("/etc/loomio-backup/operator/secrets.yml.age") in built.config_files
    assert "SECRET_COOKIE_TOKEN" in built.application_keys


def test_signatures_made_with_the_secret_half_fit_the_configured_public_half(tmp_path: Path) -> None:
    secrets = desk.secrets()
    built = agent_config.build(desk.settings(tmp_path), secrets, desk.HOST)
    signature = crypto.sign(secrets.encryption.signing_key.get_secret_value(), b"manifest")
    crypto.verify(built.signing_public_key, b"manifest", signature)


def test_holds_no_secret_and_the_agent_reads_it_back(tmp_path: Path) -> None:
    extra = crypto.recipient_of(crypto.generate_identity())
    settings = desk.settings(
        tmp_path,
        timezone="Europe/Berlin",
        backup={"schedule": "0 */6 * * *", "drive": {"folder_name": "Unsere Sicherungen"}, "local": False},
        encryption={"extra_recipients": [extra]},
    )
    secrets = desk.secrets(drive={"credentials": DRIVE})
    built = agent_config.build(settings, secrets, desk.HOST)
    text = config.dump(built)
    file = tmp_path / "config.yml"
    file.write_text(text)
    assert config.load(file) == built
    assert built.recipients[1] == extra
    assert yaml.safe_load(text)["stores"]["drive"]["folder_name"] == "Unsere Sicherungen"
    assert built.stores.local is None
    for content in agent_config.credentials(settings, secrets).values():
        assert content is None or content.strip() not in text


def test_credentials_only_for_what_is_in_use(tmp_path: Path) -> None:
    local_only = agent_config.credentials(desk.settings(tmp_path), desk.secrets(drive={"credentials": DRIVE}))
    assert local_only["drive.json"] is None
    assert local_only["legacy_passphrase"] is None
    assert local_only["identity"]
    both = agent_config.credentials(
        desk.settings(tmp_path, backup={"drive": {}}),
        desk.secrets(drive={"credentials": DRIVE}, encryption={"legacy_passphrase": "old words"}),
    )
    assert both["drive.json"] is not None
    assert yaml.safe_load(both["drive.json"]) == DRIVE
    assert both["legacy_passphrase"] == "old words"
