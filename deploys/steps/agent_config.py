"""The agent's configuration and credentials, from settings and secrets: pure."""

import json
from pathlib import Path

from deploys.steps.environment import APPLICATION_KEYS
from deploys.steps.paths import (
    AGENT_STATE,
    CREDENTIALS,
    DATABASE,
    DATABASE_USER,
    KEEP_SERVICES,
    OPERATOR,
    PROJECT,
    WEB_URL,
)
from inventories.secrets import Secrets
from inventories.settings import Settings
from loomio_backup import crypto
from loomio_backup.config import AppDataSource, Config, Database, DriveStore, LocalStore, Stores


def build(settings: Settings, secrets: Secrets, host_name: str) -> Config:
    """The agent's configuration for one Pi. It holds no secret: of the keys only the public halves."""
    stack = settings.stack
    backup = settings.backup
    directory = Path(stack.directory)
    identity = secrets.encryption.identity.get_secret_value()
    signing_key = secrets.encryption.signing_key.get_secret_value()
    drive = backup.drive
    return Config(
        host=host_name,
        project=PROJECT,
        stack_directory=directory,
        database=Database(service="db", name=DATABASE, user=DATABASE_USER),
        keep_services=list(KEEP_SERVICES),
        app_data=[AppDataSource(name=name, volume=f"{PROJECT}_{name}") for name in backup.app_data],
        config_files=[
            directory / ".env",
            directory / stack.subdirectory / "docker-compose.yml",
            Path(OPERATOR) / "pi.yml",
            Path(OPERATOR) / "secrets.yml.age",
        ],
        stores=Stores(
            local=LocalStore(path=Path(backup.local.path)) if backup.local else None,
            drive=DriveStore(
                folder_id=drive.folder_id,
                folder_name=drive.folder_name,
                shared_drive_id=drive.shared_drive_id,
                subject=drive.subject,
                api_root=drive.api_root,
                token_uri=drive.token_uri,
            )
            if drive
            else None,
        ),
        recipients=[crypto.recipient_of(identity), *settings.encryption.extra_recipients],
        signing_public_key=crypto.signing_public_key(signing_key),
        state_directory=Path(AGENT_STATE),
        credentials_directory=Path(CREDENTIALS),
        schedule=backup.schedule,
        timezone=settings.timezone,
        application_keys=list(APPLICATION_KEYS),
        web_url=WEB_URL,
    )


def credentials(settings: Settings, secrets: Secrets) -> dict[str, str | None]:
    """The content of every credential file by its name; None for one that this Pi must not have."""
    encryption = secrets.encryption
    drive = secrets.drive.credentials if settings.backup.drive else None
    return {
        "identity": encryption.identity.get_secret_value(),
        "signing_key": encryption.signing_key.get_secret_value(),
        "drive.json": json.dumps(drive, indent=2, sort_keys=True) if drive else None,
        "legacy_passphrase": encryption.legacy_passphrase.get_secret_value()
        if encryption.legacy_passphrase
        else None,
    }
