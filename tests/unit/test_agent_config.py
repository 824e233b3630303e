"""The agent's configuration: what it accepts, and the one sentence when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomio_backup.config import AppDataSource, Config, DriveStore, LocalStore, Stores, dump, load
from loomio_backup.encryption import crypto
from loomio_backup.errors import ConfigError

VALID = f"""
host: pi
stores:
  local: {{path: /var/backups/loomio}}
recipients: [{crypto.recipient_of(crypto.generate_identity())}]
signing_public_key: {crypto.generate_signing_key()[1]}
"""


def test_dump_reads_back_as_the_same_configuration(tmp_path: Path) -> None:
    config = Config(
        host="Ünï",
        app_data=[
            AppDataSource(name="storage", volume="loomio-pi-stack_storage"),
            AppDataSource(name="uploads", directory=Path("/srv/uploads")),
        ],
        config_files=[Path("/etc/loomio-backup/operator/pi.yml")],
        stores=Stores(local=LocalStore(), drive=DriveStore(api_root="http://127.0.0.1:1")),
        recipients=[crypto.recipient_of(crypto.generate_identity())],
        signing_public_key=crypto.generate_signing_key()[1],
        schedule="0 */6 * * *",
        timezone="Europe/Berlin",
    )
    path = tmp_path / "config.yml"
    path.write_text(dump(config))
    assert load(path) == config
    assert config.stores.drive is not None
    assert config.stores.drive.api_root == "http://127.0.0.1:1/"


def test_defaults_are_those_of_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(VALID)
    config = load(path)
    assert config.project == "loomio-pi-stack"
    assert config.stack_env_file == Path("/opt/loomio-pi-stack/.env")
    assert (config.database.service, config.database.name, config.database.user) == (
        "db",
        "loomio_production",
        "loomio",
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("hots: pi", ["hots"]),
        ("schedule: every hour", ["schedule", "every hour"]),
        ("timezone: Mars/Olympus", ["timezone", "Mars/Olympus"]),
        ("state_directory: relative", ["state_directory", "absolute"]),
        ("app_data: [{name: storage}]", ["app_data.0", "volume, directory"]),
        ("app_data: [{name: a, directory: /a}, {name: a, directory: /b}]", ["same name"]),
        ("database: {port: 5432}", ["database.port"]),
    ],
)
def test_what_is_wrong_is_named_with_file_key_and_value(
    change: str, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(VALID + change + "\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    sentence = str(raised.value)
    assert str(path) in sentence
    assert "Nothing was done." in sentence
    for part in expected:
        assert part in sentence


@pytest.mark.parametrize("content", ["", "just text", "a: [", "\x00"])
def test_a_file_that_is_no_configuration_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.yml"):
        load(path)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load(tmp_path / "nowhere.yml")


def test_stores_must_not_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(VALID.replace("  local: {path: /var/backups/loomio}", "  local: null"))
    with pytest.raises(ConfigError, match="at least one store"):
        load(path)
