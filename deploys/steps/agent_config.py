"""The agent's configuration and credentials, and the operator's files for the backups, from settings and
secrets: pure.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from deploys.steps import environment
from deploys.steps.environment import APPLICATION_KEYS
from deploys.steps.paths import (
    AGENT_STATE,
    CREDENTIALS,
    METRICS_FILE,
    OPERATOR,
)
from inventories.backup_settings import BackupSettings, RetentionSettings
from inventories.secrets import Secrets
from inventories.settings import Settings
from loomio_backup import credentials as names
from loomio_backup.config import (
    AppDataSource,
    Config,
    Database,
    DriveStore,
    LocalStore,
    Retention,
    Stores,
    Update,
    Verify,
    Watch,
)
from loomio_backup.encryption import crypto

#: The operator's files by the name that they have on the Pi and in every backup's config object.
SETTINGS_FILE, SECRETS_FILE, SECRETS_WITHOUT_KEYS = "pi.yml", "secrets.yml.age", "secrets.yml"


def build(settings: Settings, secrets: Secrets, host_name: str) -> Config:
    """The agent's configuration for one Pi. It holds no secret: of the keys only the public halves."""
    stack, layout = settings.stack, settings.stack.layout
    backup = settings.backup
    directory = Path(stack.directory)
    encryption = secrets.encryption
    return Config(
        host=host_name,
        project=layout.project,
        stack_directory=directory,
        database=Database(service=layout.database, name=layout.database_name, user=layout.database_user),
        app_service=layout.app,
        cache_service=layout.cache,
        keep_services=list(layout.keep_services),
        app_data=[AppDataSource(name=name, volume=layout.volume(name)) for name in backup.app_data],
        config_files=[
            directory / ".env",
            directory / environment.compose_file(settings),
            *(Path(OPERATOR) / name for name in (SETTINGS_FILE, _secrets_file(settings))),
        ],
        stores=stores(backup),
        format=backup.format,
        recipients=[
            crypto.recipient_of(encryption.identity.get_secret_value()),
            *settings.encryption.extra_recipients,
        ],
        signing_public_key=crypto.signing_public_key(encryption.signing_key.get_secret_value()),
        old_signing_public_keys=encryption.old_signing_public_keys,
        verified_kept=backup.verified_kept,
        keep_replaced_days=backup.keep_replaced_days,
        clock_wait_seconds=backup.clock_wait_seconds,
        watch=_watch(settings),
        verify=Verify(
            schedule=backup.verify_schedule,
            app=backup.verify_app,
            offline_key=settings.encryption.offline_key,
        ),
        update=Update(
            rehearse=settings.update.rehearse, healthy_seconds=settings.update.healthy_minutes * 60
        ),
        state_directory=Path(AGENT_STATE),
        credentials_directory=Path(CREDENTIALS),
        schedule=backup.schedule,
        timezone=settings.timezone,
        application_keys=list(APPLICATION_KEYS),
    )


def stores(backup: BackupSettings) -> Stores:
    local, drive = backup.local, backup.drive
    return Stores(
        local=LocalStore(
            path=Path(local.path),
            mount_point=Path(local.mount_point) if local.mount_point else None,
            retention=_retention(backup.retention_of(local)),
        )
        if local
        else None,
        drive=DriveStore(
            folder_id=drive.folder_id,
            folder_name=drive.folder_name,
            shared_drive_id=drive.shared_drive_id,
            subject=drive.subject,
            api_root=drive.api_root,
            token_uri=drive.token_uri,
            schedule=drive.schedule,
            retention=_retention(backup.retention_of(drive)),
            deletion=drive.deletion,
            append_only=drive.append_only,
            upload_limit_bytes=drive.upload_limit,
            parallel_uploads=drive.parallel_uploads,
        )
        if drive
        else None,
    )


def _retention(rules: RetentionSettings) -> Retention:
    return Retention(
        hourly=rules.hourly,
        daily=rules.daily,
        weekly=rules.weekly,
        monthly=rules.monthly,
        yearly=rules.yearly,
        days=rules.days,
        space_limit_bytes=rules.space_limit,
    )


def _watch(settings: Settings) -> Watch:
    monitoring = settings.monitoring
    return Watch(
        stale_after_hours=monitoring.stale_after_hours,
        collapse_percent=monitoring.collapse_percent,
        drive_full_days=monitoring.drive_full_days,
        reminder_hours=monitoring.reminder_hours,
        prometheus_file=Path(file) if (file := metrics_file(settings)) else None,
    )


def credentials(settings: Settings, secrets: Secrets) -> dict[str, str | None]:
    """The content of every credential file by its name; None for one that this Pi must not have."""
    encryption = secrets.encryption
    drive = secrets.drive.credentials if settings.backup.drive else None
    found: dict[str, str | None] = {
        names.IDENTITY: identities(secrets),
        names.SIGNING_KEY: encryption.signing_key.get_secret_value(),
        names.DRIVE: json.dumps(drive, indent=2, sort_keys=True) if drive else None,
        names.LEGACY_PASSPHRASE: encryption.legacy_passphrase.get_secret_value()
        if encryption.legacy_passphrase
        else None,
        names.KEYRING: encryption.keyring,
        names.ALERTS: _alerts(secrets),
    }
    if settings.encryption.offline_key:
        found[names.IDENTITY] = found[names.LEGACY_PASSPHRASE] = None
    return found


def wants_netdata(settings: Settings) -> bool:
    """Whether there is a Netdata to look at the backups: the Pi's own, or the stack's."""
    return settings.monitoring.netdata or settings.stack.parts.netdata


def metrics_file(settings: Settings) -> str | None:
    """Where the watch writes its figures, if anybody wants them."""
    return settings.monitoring.prometheus_file or (METRICS_FILE if wants_netdata(settings) else None)


def identities(secrets: Secrets) -> str:
    """What opens the backups, one a line. The present one first: what is new is opened most often."""
    encryption = secrets.encryption
    return "\n".join(one.get_secret_value() for one in (encryption.identity, *encryption.old_identities))


def _alerts(secrets: Secrets) -> str | None:
    """The agent's alerts.json; None where nobody is to be told."""
    alerts = secrets.alerts
    if not (alerts.urls or alerts.ping_url or alerts.smtp):
        return None
    return json.dumps(_revealed(alerts.model_dump(by_alias=True)), indent=2, sort_keys=True)


def operator_files(settings: Settings, secrets: Secrets, files: Mapping[str, Path]) -> dict[str, str | None]:
    """The content of the operator's files that every backup keeps, by name; None for one that this Pi must
    not have. `files`: where the two of them are on this machine.

    With an offline key the secrets file does not go to the Pi, not even encrypted: its passphrase could be
    guessed there at leisure. What goes is what the Pi knows anyway.
    """
    offline = settings.encryption.offline_key
    return {
        SETTINGS_FILE: files[SETTINGS_FILE].read_text(encoding="utf-8"),
        SECRETS_FILE: None if offline else files[SECRETS_FILE].read_text(encoding="utf-8"),
        SECRETS_WITHOUT_KEYS: _without_keys(secrets) if offline else None,
    }


def _secrets_file(settings: Settings) -> str:
    return SECRETS_WITHOUT_KEYS if settings.encryption.offline_key else SECRETS_FILE


def _without_keys(secrets: Secrets) -> str:
    # What goes is listed, not what is left out: a new secret stays off the Pi until it is named here.
    kept = secrets.model_dump(
        by_alias=True,
        exclude_none=True,
        include={
            "encryption": {"signing_key", "keyring", "old_signing_public_keys"},
            "app": True,
            "stack": True,
            "drive": {"credentials"},
            "alerts": True,
        },
    )
    return (
        "# The secrets file without the keys that open backups (encryption.offline_key): after the loss of\n"
        "# the operator's machine, put encryption.identity back in from the recovery kit.\n"
        + yaml.safe_dump(_revealed(kept), sort_keys=False, allow_unicode=True)
    )


def _revealed(value: Any) -> Any:
    """Plain data with the secrets in it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _revealed(one) for key, one in value.items()}
    return [_revealed(one) for one in value] if isinstance(value, list) else value
