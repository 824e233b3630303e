"""Settings and secrets for tests of the deploys, through the product's own schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from inventories.new_secrets import new_text
from inventories.secrets import Secrets, checked
from inventories.settings import Settings, load_settings

HOST = "loomio"
PLAIN: Mapping[str, Any] = {
    "hosts": {HOST: {"address": "192.0.2.1"}},
    "stack": {
        "repository": "https://git.example.org/loomio-pi-stack.git",
        "ref": "v1.2.3",
        "canonical_host": "loomio.example.org",
        "support_email": "help@example.org",
    },
}


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `more` laid over it, group by group."""
    result = dict(base)
    for key, value in more.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def write_settings(folder: Path, **more: Any) -> Path:
    """Write a settings file: the plain one, changed by `more`."""
    file = folder / "pi.yml"
    file.write_text(yaml.safe_dump(merged(PLAIN, more), allow_unicode=True))
    return file


def settings(folder: Path, **more: Any) -> Settings:
    return load_settings(write_settings(folder, **more))


def secrets_text(**more: Any) -> str:
    """The text of a secrets file: newly generated, changed by `more`."""
    return yaml.safe_dump(merged(yaml.safe_load(new_text([HOST])), more))


def secrets(**more: Any) -> Secrets:
    return checked(secrets_text(**more), "secrets.yml")
