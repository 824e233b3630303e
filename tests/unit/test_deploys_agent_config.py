"""The agent's configuration and credentials, built from settings and secrets."""

import json
from pathlib import Path
from typing import Any

import yaml

from deploys.steps import agent_config
from inventories.secrets import checked
from loomio_backup import config
from loomio_backup.encryption import crypto, keyring

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


def test_old_identities_follow_the_present_one(tmp_path: Path) -> None:
    old = [crypto.generate_identity(), crypto.generate_identity()]
    secrets = desk.secrets(encryption={"old_identities": old})
    found = agent_config.credentials(desk.settings(tmp_path), secrets)["identity"]
    assert found is not None
    assert found.split("\n") == [secrets.encryption.identity.get_secret_value(), *old]
    assert len(crypto.parse_identities(found)) == 3


def test_alerts_are_what_the_agent_reads(tmp_path: Path) -> None:
    assert agent_config.credentials(desk.settings(tmp_path), desk.secrets())["alerts.json"] is None
    alerts = {
        "urls": ["ntfys://ntfy.example.org/topic"],
        "ping_url": "https://ping.example.org/abc",
        "smtp": {"server": "m.example.org", "username": "u", "password": "p", "from": "a@b.c", "to": "d@e.f"},
    }
    written = agent_config.credentials(desk.settings(tmp_path), desk.secrets(alerts=alerts))["alerts.json"]
    assert written is not None
    smtp = {**alerts["smtp"], "port": 587, "use_ssl": False}  # type: ignore[dict-item]
    assert json.loads(written) == {**alerts, "smtp": smtp}


def test_with_an_offline_key_nothing_that_goes_to_the_pi_opens_a_backup(tmp_path: Path) -> None:
    identity, old = crypto.generate_identity(), crypto.generate_identity()
    secrets = desk.secrets(
        drive={"credentials": DRIVE, "manager_credentials": {**DRIVE, "refresh_token": "manager's token"}},
        encryption={
            "identity": identity,
            "old_identities": [old],
            "legacy_passphrase": "old words",
            "keyring": keyring.make([old], [crypto.recipient_of(identity)]),
        },
        hosts={desk.HOST: {"sudo_password": "open sesame"}},
        alerts={"urls": ["ntfys://ntfy.example.org/topic"]},
    )
    settings = desk.settings(tmp_path, backup={"drive": {}}, encryption={"offline_key": True})
    (tmp_path / "secrets.yml.age").write_text("-----BEGIN AGE ENCRYPTED FILE-----\n")
    files = {"pi.yml": tmp_path / "pi.yml", "secrets.yml.age": tmp_path / "secrets.yml.age"}
    kept = agent_config.operator_files(settings, secrets, files)
    credentials = agent_config.credentials(settings, secrets)
    assert credentials["identity"] is None
    assert credentials["legacy_passphrase"] is None
    assert credentials["keyring.age"] is not None
    assert kept["secrets.yml.age"] is None
    everything = "\n".join(text for text in (*kept.values(), *credentials.values()) if text)
    for value in (identity, old, "old words", "open sesame", "manager's token"):
        assert value not in everything
    # What the Pi knows anyway is there: with the identity from the kit the file is whole again.
    document = yaml.safe_load(kept["secrets.yml"] or "")
    document["encryption"]["identity"] = identity
    assert checked(yaml.safe_dump(document), "secrets.yml").app == secrets.app
    assert document["drive"] == {"credentials": DRIVE}
    built = agent_config.build(settings, secrets, desk.HOST)
    assert Path("/etc/loomio-backup/operator/secrets.yml") in built.config_files
    assert Path("/etc/loomio-backup/operator/secrets.yml.age") not in built.config_files


def test_with_the_key_on_the_pi_the_secrets_file_goes_as_it_is(tmp_path: Path) -> None:
    settings = desk.settings(tmp_path)
    (tmp_path / "secrets.yml.age").write_text("-----BEGIN AGE ENCRYPTED FILE-----\n")
    files = {"pi.yml": tmp_path / "pi.yml", "secrets.yml.age": tmp_path / "secrets.yml.age"}
    kept = agent_config.operator_files(settings, desk.secrets(), files)
    assert kept["secrets.yml"] is None
    assert kept["secrets.yml.age"] == "-----BEGIN AGE ENCRYPTED FILE-----\n"
    assert kept["pi.yml"] == (tmp_path / "pi.yml").read_text()
