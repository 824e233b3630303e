"""The encrypted secrets file: opening it, making it, replacing it.

`secrets.yml.age` lies beside the settings file and is an ordinary age file with a passphrase (armored):
without this program, `age -d` opens it. What is encrypted is YAML text with the operator's own comments, kept
as it was typed.
"""

import os
import tempfile
from pathlib import Path

from inventories.settings import display
from inventories.validation import SettingsError
from loomio_backup.encryption import age_passphrase
from loomio_backup.errors import CryptoError, WrongKey

NAME = "secrets.yml.age"


def secrets_file(settings_file: Path) -> Path:
    """The secrets file that belongs to a settings file."""
    return settings_file.parent / NAME


def require(path: Path) -> None:
    """Raise `SettingsError` when there is no secrets file: before anybody is asked for a passphrase."""
    if not path.exists():
        raise SettingsError(
            f"The secrets file {display(path)} is not there. Make a new one with: loomio-pi secrets init "
            "(for a Pi that has backups, put your copy of the file there instead: only it opens them)."
        )


def decrypted(path: Path, passphrase: str) -> str:
    """The secrets file's text. Raises `SettingsError`."""
    require(path)
    shown = display(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"The secrets file {shown} cannot be read: {error.strerror}.") from None
    try:
        return age_passphrase.decrypt(data, passphrase, shown).decode()
    except WrongKey:
        if type(passphrase) is not str:
            raise SettingsError(
                f"The secrets file {shown} does not open with the passphrase in the system's keyring. "
                "Nothing was changed. Put the right one there with: loomio-pi secrets remember"
            ) from None
        raise SettingsError(
            f"The secrets file {shown} does not open with this passphrase. Nothing was changed; try again."
        ) from None
    except (CryptoError, UnicodeDecodeError):
        raise SettingsError(
            f"The secrets file {shown} is damaged, or is not an age file with a passphrase. Nothing was "
            "changed; put your copy of it in its place."
        ) from None


def write_new(path: Path, text: str, passphrase: str) -> None:
    """Create the secrets file (0600). Raises `SettingsError` when it exists: it is never overwritten."""
    data = age_passphrase.encrypt(text.encode(), passphrase)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SettingsError(
            f"The secrets file {display(path)} exists already and was left as it is."
        ) from None
    except OSError as error:
        raise SettingsError(f"The secrets file {display(path)} cannot be made: {error.strerror}.") from None
    try:
        _fill(descriptor, data, path)
    except BaseException:
        path.unlink()
        raise


def replace(path: Path, text: str, passphrase: str) -> None:
    """Replace the file's content: all of it or, when anything fails, nothing. Raises `SettingsError`."""
    # The name may be a link to where the operator really keeps the file.
    path = path.resolve()
    data = age_passphrase.encrypt(text.encode(), passphrase)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise SettingsError(
            f"The secrets file {display(path)} was left as it is, because nothing can be written beside it: "
            f"{error.strerror}."
        ) from None
    temporary = Path(name)
    try:
        _fill(descriptor, data, path)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _fill(descriptor: int, data: bytes, path: Path) -> None:
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SettingsError(
            f"The secrets file {display(path)} could not be written: {error.strerror}. "
            "What was there before is still there."
        ) from None
