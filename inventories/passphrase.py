"""The passphrase of the secrets file: from a file that only its owner can read, from the system's keyring, or
typed on a terminal.
"""

import getpass
import os
import sys
from pathlib import Path

from inventories.validation import SettingsError
from inventories.variables import PASSPHRASE_VARIABLE

SHORTEST = 10
"""Characters that a new passphrase must have: it guards every key and password of the Pi."""


def passphrase(file: str, secrets: Path | None = None) -> str:
    """The passphrase of the secrets file that people know as `file`. Raises `SettingsError`.

    `secrets` is where that file is: what the keyring remembers, it remembers for a place.
    """
    if path := os.environ.get(PASSPHRASE_VARIABLE):
        return _from_file(Path(path), PASSPHRASE_VARIABLE)
    if secrets is not None:
        # Slow to import, and not needed by those who name a file.
        from inventories import system_keyring

        if remembered := system_keyring.recalled(secrets):
            return remembered
    return _typed(f"Passphrase of {file}: ", file)


def new_passphrase(file: str) -> str:
    """A passphrase for a new secrets file: long enough, and typed twice."""
    path = os.environ.get(PASSPHRASE_VARIABLE)
    return chosen_passphrase(file, Path(path) if path else None, PASSPHRASE_VARIABLE)


def chosen_passphrase(file: str, path: Path | None, named_in: str) -> str:
    """As `new_passphrase`, out of the file `path`, which `named_in` names, or else typed."""
    if path is not None:
        chosen = _from_file(path, named_in)
    else:
        chosen = _typed(f"Choose a passphrase for {file}: ", file)
        if len(chosen) >= SHORTEST and _typed("The same again: ", file) != chosen:
            raise SettingsError("The two passphrases are not the same. Nothing was written; try again.")
    if len(chosen) < SHORTEST:
        raise SettingsError(
            f"The passphrase has {len(chosen)} characters, and needs {SHORTEST} or more. Nothing was written."
        )
    return chosen


def _from_file(path: Path, named_in: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            # The file that was opened, not what its name may mean a moment later.
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise SettingsError(
                    f"The passphrase file {path} ({named_in}) can be read by other users of this machine. "
                    f"Type: chmod 600 {path}"
                )
            text = file.read(1 << 16).strip("\r\n")
    except OSError as error:
        raise SettingsError(
            f"The passphrase file {path} ({named_in}) cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"The passphrase file {path} ({named_in}) is not text.") from None
    if not text:
        raise SettingsError(f"The passphrase file {path} ({named_in}) is empty; it must hold one line.")
    if "\n" in text:
        raise SettingsError(f"The passphrase file {path} ({named_in}) has several lines; it must hold one.")
    return text


def _typed(prompt: str, file: str) -> str:
    if not sys.stdin.isatty():
        raise SettingsError(
            f"The passphrase of {file} is needed. Run this on a terminal to type it, "
            f"or name a file that holds it in {PASSPHRASE_VARIABLE} (mode 0600)."
        )
    try:
        text = getpass.getpass(prompt)
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        raise SettingsError("No passphrase was given. Nothing was done.") from None
    if not text:
        raise SettingsError("No passphrase was given. Nothing was done.")
    return text
