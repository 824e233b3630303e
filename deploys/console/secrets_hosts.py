"""`loomio-pi secrets add-host NAME`: one more Pi gets keys and passwords of its own into the secrets file."""

from pathlib import Path
from typing import Any

import yaml

from deploys.console import kit_record
from inventories import secrets_file
from inventories.new_secrets import new_text
from inventories.passphrase import passphrase
from inventories.secrets import checked
from inventories.secrets_edit import with_values
from inventories.settings import display, load_every, settings_file
from inventories.validation import SettingsError

#: What no two Pis may share, and what they had better not share.
_OWN = ("encryption", "app")


def add(path: Path, name: str) -> int:
    """Generate them. Returns the exit code; raises `SettingsError`."""
    shown = display(path)
    settings = settings_file()
    every = load_every(settings)
    if name not in every:
        raise SettingsError(
            f"There is no Pi {name} in {display(settings)} (hosts: {', '.join(every)}). Nothing was changed. "
            "Write it there first."
        )
    secrets_file.require(path)
    word = passphrase(shown, path)
    text = secrets_file.decrypted(path, word)
    known = checked(text, shown).hosts.get(name)
    if known and known.secrets:
        raise SettingsError(
            f"hosts.{name}.secrets is in {shown} already, and was left as it is. Change it with: loomio-pi "
            "secrets edit"
        )
    text = with_host(text, name)
    secrets_file.replace(path, text, word)
    print(
        f"{shown} has keys and passwords for {name}, which no other Pi has. Access to Drive and alerts are "
        f"shared, unless you write them below hosts.{name}.secrets, too (loomio-pi secrets edit).\n"
        f"Next: loomio-pi --host {name} deploy setup, and its recovery kit: loomio-pi --host {name} kit"
    )
    kit_record.tell_if_outdated(settings, text)
    return 0


def with_host(text: str, name: str) -> str:
    """The secrets' text with newly generated keys for the Pi called `name`. Raises `SettingsError`."""
    made: dict[str, Any] = yaml.safe_load(new_text([]))
    values = {
        group: {key: value for key, value in made[group].items() if value is not None} for group in _OWN
    }
    text = with_values(text, {("hosts", name, "secrets"): values})
    checked(text, "secrets.yml", name)
    return text
