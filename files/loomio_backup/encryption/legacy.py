"""`format: fernet`: the database once more, as the older backup scripts wrote it, beside the ordinary dump.

The same pg_restore that proves the dump readable writes it out as SQL, and that is encrypted as it comes
(objects.write_legacy): plain SQL never touches a disk, and nothing is dumped twice.
"""

from dataclasses import dataclass
from pathlib import Path

from loomio_backup.config import Config
from loomio_backup.credentials import LEGACY_PASSPHRASE, Credentials
from loomio_backup.encryption import fernet
from loomio_backup.errors import ConfigError

SUFFIX = ".sql.enc"


@dataclass(frozen=True, repr=False)
class Legacy:
    """Where the second output goes, and the 32 bytes of key for it."""

    destination: Path
    key: bytes


def key(config: Config, credentials: Credentials) -> bytes | None:
    """The key of the second output; None when the configuration asks for none.

    Raises ConfigError when it does and there is no passphrase: plain text is never written instead.
    """
    if config.format != "fernet":
        return None
    found = reading_key(credentials)
    if found is None:
        raise ConfigError(
            "no backup was made: the format fernet needs a passphrase, and the credential "
            f"{LEGACY_PASSPHRASE} is missing. Earlier backups are untouched. Put it into the secrets file "
            "(loomio-pi secrets edit, encryption.legacy_passphrase) and run the setup deploy again, or "
            "choose the format age in the settings."
        )
    return found


def reading_key(credentials: Credentials) -> bytes | None:
    """The key of what is in that format already; None without a passphrase."""
    passphrase = credentials.optional(LEGACY_PASSPHRASE)
    return None if passphrase is None else fernet.derive_key(passphrase)
