"""What an older stack's `.env` means as settings: pure text in, text out. Secrets are named, never shown.

| in the .env | in the settings (or the secrets file) |
| --- | --- |
| BACKUP_SCHEDULE | backup.schedule |
| BACKUP_RETENTION_DAYS | backup.retention.days: all of so many days; hourly … yearly keep older ones |
| GDRIVE_ENABLED, GDRIVE_FOLDER_ID | backup.drive (off when not enabled), backup.drive.folder_id |
| SITE_NAME, CANONICAL_HOST, SUPPORT_EMAIL | stack.site_name, stack.canonical_host, stack.support_email |
| SMTP_SERVER, _PORT, _USERNAME, _AUTH, _USE_SSL | stack.smtp.server, port, username, auth, use_ssl |
| TZ | timezone |
| BACKUP_ENCRYPTION_KEY | secret: encryption.legacy_passphrase, which opens the older backups |
| GDRIVE_CREDENTIALS | secret: drive.credentials |
| POSTGRES_PASSWORD, DEVISE_SECRET, SECRET_*, VAPID_*, SMTP_PASSWORD … | secrets: app.postgres_password … |
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from inventories import checks
from inventories.validation import SettingsError
from loomio_backup.backup.bundle import parse_env

SECRETS: Mapping[str, str] = {
    "BACKUP_ENCRYPTION_KEY": "encryption.legacy_passphrase",
    "GDRIVE_CREDENTIALS": "drive.credentials",
    "POSTGRES_PASSWORD": "app.postgres_password",
    "DEVISE_SECRET": "app.devise_secret",
    "SECRET_COOKIE_TOKEN": "app.secret_cookie_token",
    "SECRET_KEY_BASE": "app.secret_key_base",
    "RAILS_INBOUND_EMAIL_PASSWORD": "app.rails_inbound_email_password",
    "VAPID_PUBLIC_KEY": "app.vapid_public_key",
    "VAPID_PRIVATE_KEY": "app.vapid_private_key",
    "SMTP_PASSWORD": "app.smtp_password",
}
#: What the new stack's `.env` gets from other settings, or what is the same on every Pi.
FOLLOWING = frozenset(
    "DATABASE_URL POSTGRES_DB POSTGRES_USER REDIS_URL REDIS_CACHE_URL RAILS_ENV ACTIVE_STORAGE_SERVICE "
    "PUBLIC_APP_URL PRIVATE_APP_URL HOCUSPOCUS_URL REPLY_HOSTNAME SMTP_DOMAIN VAPID_SUBJECT FORCE_SSL "
    "ASSUME_SSL USE_RACK_ATTACK LOOMIO_SYSTEM_RELOAD COMPOSE_PROJECT_NAME COMPOSE_FILE COMPOSE_PROFILES "
    "LOOMIO_IMAGE POSTGRES_IMAGE REDIS_IMAGE WEB_CONCURRENCY MIN_THREADS MAX_THREADS".split()
)


@dataclass
class Imported:
    """`settings`: nested, as YAML has them. `secrets`: name in the .env → key in the secrets file. `others`:
    names that mean nothing here. `notes`: sentences for the operator.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def put(self, path: str, value: Any) -> None:
        """Set one value by its dotted path."""
        group = self.settings
        *above, name = path.split(".")
        for part in above:
            group = group.setdefault(part, {})
        group[name] = value

    def yaml(self) -> str:
        """A settings file; what the `.env` did not know is left empty, for the operator to fill in."""
        whole = {
            "hosts": {"loomio": {"address": None}},
            **({"timezone": self.settings["timezone"]} if "timezone" in self.settings else {}),
            "stack": {"repository": None, "ref": None, "canonical_host": None, "support_email": None}
            | self.settings.get("stack", {}),
            "backup": self.settings.get("backup", {}),
        }
        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)
        return _HEAD + re.sub(r"(?m): null$", ":  # you: see pi.example.yml", text)


_HEAD = """\
# From an older stack's .env. Whatever is not in here stands at its default: pi.example.yml shows and explains
# all of it.
"""


def understood(text: str, shown: str) -> Imported:
    """The meaning of a `.env` file's text; `shown` is what messages call it. Raises `SettingsError` for a
    value that cannot be meant.
    """
    variables = {name: value for name, value in parse_env(text).items() if value}
    found = Imported()
    for name, value in variables.items():
        if name in SECRETS:
            found.secrets[name] = SECRETS[name]
        elif name in _PLAIN:
            path, read = _PLAIN[name]
            try:
                found.put(path, read(value))
            except ValueError as error:
                raise SettingsError(
                    f"{shown}: {name}: {value!r} {error}. Nothing was written. Correct it there, or leave "
                    "the line out."
                ) from None
        elif name not in FOLLOWING and name not in _DRIVE:
            found.others.append(name)
    _drive(variables, found)
    _notes(variables, found)
    return found


def _drive(variables: Mapping[str, str], found: Imported) -> None:
    if not _truth(variables.get("GDRIVE_ENABLED", "")):
        if _DRIVE & variables.keys() or "GDRIVE_CREDENTIALS" in variables:
            found.put("backup.drive", False)
            found.notes.append("Google Drive was not enabled there, so it is off.")
        return
    found.put("backup.drive", {})
    if folder := variables.get("GDRIVE_FOLDER_ID"):
        found.put("backup.drive.folder_id", folder)
    if _is_service_account(variables.get("GDRIVE_CREDENTIALS", "")):
        found.notes.append(
            "GDRIVE_CREDENTIALS is a service account. Google lets it store files only in a shared drive "
            "(backup.drive.shared_drive_id) or for a user of your organisation (backup.drive.subject). With "
            "an ordinary Google account, remove backup.drive.folder_id (the program makes a folder of its "
            "own, and may not see others) and type: loomio-pi authorize"
        )


def _is_service_account(text: str) -> bool:
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("type") == "service_account"


def _notes(variables: Mapping[str, str], found: Imported) -> None:
    if "BACKUP_RETENTION_DAYS" in variables:
        found.notes.append(
            f"Every backup of the last {variables['BACKUP_RETENTION_DAYS']} days is kept, as before; beside "
            "them the defaults of backup.retention (hourly to yearly) keep some older ones. Set those to 0 "
            "to keep none."
        )
    smtp = found.settings.get("stack", {}).get("smtp")
    if smtp is not None and "server" not in smtp:
        del found.settings["stack"]["smtp"]
        found.notes.append("There is no SMTP_SERVER, so the other SMTP settings were left out.")


def _truth(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes", "on")


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) > 10_000:
        raise ValueError("is not a whole number up to 10000")
    return int(text)


def _auth(text: str) -> str:
    if text not in ("plain", "login", "cram_md5"):
        raise ValueError("is none of plain, login, cram_md5")
    return text


_PLAIN: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "BACKUP_SCHEDULE": ("backup.schedule", checks.cron),
    "BACKUP_RETENTION_DAYS": ("backup.retention.days", _number),
    "TZ": ("timezone", checks.timezone),
    "SITE_NAME": ("stack.site_name", checks.one_line),
    "CANONICAL_HOST": ("stack.canonical_host", checks.host_name),
    "SUPPORT_EMAIL": ("stack.support_email", checks.mail),
    "SMTP_SERVER": ("stack.smtp.server", checks.address),
    "SMTP_PORT": ("stack.smtp.port", _number),
    "SMTP_USERNAME": ("stack.smtp.username", checks.one_line),
    "SMTP_AUTH": ("stack.smtp.auth", _auth),
    # For Loomio a variable that is there is on, whatever its value.
    "SMTP_USE_SSL": ("stack.smtp.use_ssl", bool),
}
_DRIVE = frozenset(("GDRIVE_ENABLED", "GDRIVE_FOLDER_ID"))
