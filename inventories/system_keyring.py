"""The passphrase of a secrets file in the system's keyring (GNOME, KDE, macOS, Windows), for who wants that.

Only `loomio-pi secrets remember` puts it there. Which keyring that is, the library `keyring` finds out; where
there is none, nothing is remembered and nothing is missed.
"""

import sys
from pathlib import Path

import keyring
from keyring.errors import KeyringError, NoKeyringError, PasswordDeleteError

from inventories.validation import SettingsError

SERVICE = "loomio-pi"


class Remembered(str):
    """A passphrase that nobody typed: when it does not fit, the keyring is what has to be put right."""


def recalled(secrets: Path) -> Remembered | None:
    """The passphrase of the secrets file at `secrets`, None where none is remembered."""
    try:
        found = keyring.get_password(SERVICE, _name(secrets))
    except NoKeyringError:
        return None
    except KeyringError as error:
        # A locked or broken keyring is no reason to stop: the passphrase can still be typed.
        print(f"The system's keyring cannot be asked for the passphrase ({error}).", file=sys.stderr)
        return None
    return Remembered(found) if found else None


def remember(secrets: Path, passphrase: str) -> None:
    """Put the passphrase into the keyring. Raises `SettingsError`."""
    try:
        keyring.set_password(SERVICE, _name(secrets), passphrase)
    except KeyringError as error:
        raise SettingsError(
            f"The system's keyring did not take the passphrase ({error}). Nothing was changed. Type it when "
            "you are asked, or name a file that holds it in LOOMIO_PI_PASSPHRASE_FILE (mode 0600)."
        ) from None


def forget(secrets: Path) -> bool:
    """Remove it from the keyring; False where it was not in there. Raises `SettingsError`."""
    try:
        keyring.delete_password(SERVICE, _name(secrets))
    except (NoKeyringError, PasswordDeleteError):
        return False
    except KeyringError as error:
        raise SettingsError(
            f"The system's keyring cannot be used ({error}). Nothing was changed. Remove the entry "
            f"{SERVICE} with the keyring's own program."
        ) from None
    return True


def _name(secrets: Path) -> str:
    return str(secrets.resolve())
