"""What `loomio-pi init --import-env` takes over from an older stack."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploys.console.init_files import leaves
from inventories.legacy_env import understood
from inventories.settings import display
from inventories.validation import SettingsError
from loomio_backup.backup.bundle import parse_env

#: Settings that are asked for: the question.
_ASKED: Mapping[tuple[str, ...], str] = {
    ("timezone",): "timezone",
    ("stack", "canonical_host"): "canonical_host",
    ("stack", "support_email"): "support_email",
    ("stack", "site_name"): "site_name",
    ("stack", "smtp", "server"): "smtp_server",
    ("stack", "smtp", "port"): "smtp_port",
    ("stack", "smtp", "username"): "smtp_username",
    ("stack", "smtp", "auth"): "smtp_auth",
    ("stack", "smtp", "use_ssl"): "smtp_use_ssl",
    ("backup", "schedule"): "schedule",
    ("backup", "drive", "folder_id"): "drive_folder_id",
}


@dataclass
class Older:
    """`defaults`: by the question. `more`: settings that nobody is asked for; `secrets`: both by key paths.
    `credentials`: of a service account for Drive.
    """

    defaults: dict[str, str] = field(default_factory=dict)
    more: dict[tuple[str, ...], Any] = field(default_factory=dict)
    secrets: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False)
    credentials: dict[str, Any] | None = field(default=None, repr=False)


def older_stack(file: Path) -> Older:
    """Read the `.env`; what could not be taken over is told on stderr. Raises `SettingsError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{display(file)} cannot be read: {error.strerror}. Nothing was written."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{display(file)} is not UTF-8 text. Nothing was written.") from None
    imported, values = understood(text, display(file)), parse_env(text)
    found = Older()
    for path, value in leaves(imported.settings):
        if path in _ASKED:
            found.defaults[_ASKED[path]] = _written(value)
        elif path == ("backup", "drive"):
            found.defaults["drive"] = "account" if isinstance(value, dict) else "off"
        else:
            found.more[path] = value
    for name, key in imported.secrets.items():
        if key == "drive.credentials":
            found.credentials = _service_account(values[name])
        elif key == "app.smtp_password":
            found.defaults["smtp_password"] = values[name]
        else:
            found.secrets[tuple(key.split("."))] = values[name]
    if "smtp_server" not in found.defaults:
        found.defaults["smtp"] = "no"
    if found.credentials is not None and found.defaults.get("drive") != "off":
        found.defaults["drive"] = "service"
    _tell(imported.notes, imported.others)
    return found


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _service_account(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("type") == "service_account" else None


def _tell(notes: list[str], others: list[str]) -> None:
    for note in notes:
        print(note, file=sys.stderr)
    if others:
        print(
            f"Not carried over: {', '.join(others)}. What Loomio needs of them, put into stack.environment.",
            file=sys.stderr,
        )
