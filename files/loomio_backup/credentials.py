"""Where the agent finds keys and tokens: systemd's credentials first, then the directory on the Pi.

Each secret is a file of its own, so that none passes through an argument or an environment.
"""

import json
import os
from pathlib import Path
from typing import Any

from loomio_backup.errors import ConfigError

IDENTITY = "identity"
SIGNING_KEY = "signing_key"
DRIVE = "drive.json"
LEGACY_PASSPHRASE = "legacy_passphrase"  # noqa: S105 - the name of a file
KEYRING = "keyring.age"
ALERTS = "alerts.json"


class Credentials:
    """Reads secrets by name; nothing is read before it is asked for."""

    def __init__(self, directory: Path) -> None:
        lent = os.environ.get("CREDENTIALS_DIRECTORY")
        self._directories = [Path(lent), directory] if lent else [directory]

    def optional(self, name: str) -> str | None:
        """The secret's text without surrounding white space, or None when there is no such file (or it is
        empty).
        """
        for directory in self._directories:
            path = directory / name
            try:
                text = path.read_text(encoding="utf-8").strip()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ConfigError(
                    f"cannot read the credential {path} ({error.strerror}). Nothing was done. Run as root."
                ) from error
            except UnicodeDecodeError:
                raise ConfigError(f"the credential {path} is not text. Nothing was done.") from None
            return text or None
        return None

    def required(self, name: str) -> str:
        """Like `optional`, but raises ConfigError when the secret is missing."""
        text = self.optional(name)
        if text is None:
            raise ConfigError(
                f"the credential {name} is missing: expected the file {self._directories[-1] / name}. "
                "Nothing was done. Run the setup deploy again to put it there."
            )
        return text

    def drive(self) -> dict[str, Any]:
        """Google's credentials as the dictionary of their JSON file."""
        try:
            document = json.loads(self.required(DRIVE))
        except ValueError:
            raise ConfigError(f"the credential {DRIVE} is not JSON. Nothing was done.") from None
        if not isinstance(document, dict):
            raise ConfigError(f"the credential {DRIVE} is not a JSON object. Nothing was done.")
        return document
