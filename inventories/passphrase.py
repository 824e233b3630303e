"""The passphrase of the secrets file: from a file that only its owner can read, or typed on a terminal."""

import getpass
import os
import sys
from pathlib import Path

from inventories.validation import SettingsError

VARIABLE = "LOOMIO_PI_PASSPHRASE_FILE"
SHORTEST = 10
"""Characters that a new passphrase must have: it guards every key and password of the Pi."""


def passphrase(file: str) -> str:
    """The passphrase of the secrets file that people know as `file`. Raises `SettingsError`."""
    if path := os.environ.get(VARIABLE):
        return _from_file(Path(path))
    return _typed(f"Passphrase of {file}: ", file)


def new_passphrase(file: str) -> str:
    """A passphrase for a new secrets file: long enough, and typed twice."""
    if path := os.environ.get(VARIABLE):
        chosen = _from_file(Path(path))
    else:
        chosen = _typed(f"Choose a passphrase for {file}: ", file)
        if len(chosen) >= SHORTEST and _typed("The same again: ", file) != chosen:
            raise SettingsError("The two passphrases are not the same. Nothing was written; try again.")
    if len(chosen) < SHORTEST:
        raise SettingsError(
            f"The passphrase has {len(chosen)} characters, and needs {SHORTEST} or more. Nothing was written."
        )
    return chosen


def _from_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            # The file that was opened, not what its name may mean a moment later.
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise SettingsError(
                    f"The passphrase file {path} ({VARIABLE}) can be read by other users of this machine. "
                    f"Type: chmod 600 {path}"
                )
            text = file.read(1 << 16).strip("\r\n")
    except OSError as error:
        raise SettingsError(
            f"The passphrase file {path} ({VARIABLE}) cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"The passphrase file {path} ({VARIABLE}) is not text.") from None
    if not text:
        raise SettingsError(f"The passphrase file {path} ({VARIABLE}) is empty; it must hold one line.")
    if "\n" in text:
        raise SettingsError(f"The passphrase file {path} ({VARIABLE}) has several lines; it must hold one.")
    return text


def _typed(prompt: str, file: str) -> str:
    if not sys.stdin.isatty():
        raise SettingsError(
            f"The passphrase of {file} is needed. Run this on a terminal to type it, "
            f"or name a file that holds it in {VARIABLE} (mode 0600)."
        )
    try:
        text = getpass.getpass(prompt)
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        raise SettingsError("No passphrase was given. Nothing was done.") from None
    if not text:
        raise SettingsError("No passphrase was given. Nothing was done.")
    return text
