"""The agent's own parts on the operator's machine: the operator's files, opened, and what they make of them.

Secrets stay in memory here: no file and no environment ever holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploys.steps import agent_config
from inventories.passphrase import passphrase
from inventories.secrets import Secrets, check_together, load_secrets
from inventories.secrets_file import require, secrets_file
from inventories.settings import Settings, display, load_settings, settings_file
from loomio_backup.config import Config, Stores
from loomio_backup.credentials import IDENTITY, Credentials
from loomio_backup.errors import ConfigError


class LentCredentials(Credentials):
    """Secrets by the names of the agent's credential files, without any file."""

    def __init__(self, texts: Mapping[str, str | None]) -> None:
        self._texts = texts

    def optional(self, name: str) -> str | None:
        """See Credentials.optional."""
        return (self._texts.get(name) or "").strip() or None

    def required(self, name: str) -> str:
        """See Credentials.required."""
        text = self.optional(name)
        if text is None:
            raise ConfigError(
                f"the secrets have nothing for the credential {name}. Nothing was done. Put it in with: "
                "loomio-pi secrets edit"
            )
        return text


@dataclass(frozen=True)
class Operator:
    """The operator's two files, opened; `name` is what they call the Pi."""

    name: str
    settings: Settings
    secrets: Secrets

    @classmethod
    def at_hand(cls, name: str | None = None) -> "Operator":
        """Those that the environment names, for the Pi called `name`. Raises `SettingsError`."""
        file = settings_file()
        settings = load_settings(file, name)
        encrypted = secrets_file(file)
        require(encrypted)
        secrets = load_secrets(encrypted, passphrase(display(encrypted), encrypted), settings.name)
        check_together(settings, secrets, display(encrypted))
        return cls(settings.name, settings, secrets)

    def credentials(self, **others: str | None) -> LentCredentials:
        """What the agent asks for: as on the Pi, with all identities, and `others` by their names."""
        encryption = self.secrets.encryption
        identities = [one.get_secret_value() for one in (encryption.identity, *encryption.old_identities)]
        return LentCredentials(
            {
                **agent_config.credentials(self.settings, self.secrets),
                IDENTITY: "\n".join(identities),
                **others,
            }
        )

    def config(self, stores: Stores, state_directory: Path) -> Config:
        """The agent's configuration for work on `stores` from here; what only the Pi uses is as there."""
        return self.on_the_pi().model_copy(
            update={
                "stores": stores,
                "state_directory": state_directory.absolute(),
                "clock_wait_seconds": 0,  # who sits here sees the clock
            }
        )

    def on_the_pi(self) -> Config:
        """The agent's configuration as setup writes it on the Pi."""
        return agent_config.build(self.settings, self.secrets, self.name)
