"""Key files: what a person hands to `decrypt`, and says clearly what is wrong with one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from loomio_backup.encryption.crypto import Identity, parse_identities
from loomio_backup.errors import KeyFileError

_MOST = 1 << 16  # bytes; no key is this long, but a backup given by mistake is

_EXPECTED = "expected an age identity (a line AGE-SECRET-KEY-1…) or a passphrase in its one line"


@dataclass(frozen=True)
class Identities:
    """A file with age identities."""

    keys: list[Identity]


@dataclass(frozen=True, repr=False)
class Passphrase:
    """A file with a passphrase in its one line."""

    text: str


Key: TypeAlias = Identities | Passphrase


def read(path: Path) -> Key:
    """The key in `path`; raises `KeyFileError`, which never quotes the file's content."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST + 1)
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be read: {error.strerror}.") from None
    return _understood(raw, path)


def _understood(raw: bytes, path: Path) -> Key:
    if raw.startswith((b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")):
        raise KeyFileError(
            f"The key file {path} is itself encrypted; open it first (age -d -o KEY {path}), then give KEY."
        )
    if len(raw) > _MOST:
        raise KeyFileError(f"{path} is too large for a key file; {_EXPECTED}.")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} is not a key file but binary data; {_EXPECTED}.") from None
    lines = [line.strip() for line in text.splitlines()]
    if any(line.upper().startswith("AGE-SECRET-KEY-") for line in lines):
        try:
            return Identities(parse_identities(text))
        except KeyFileError as error:
            raise KeyFileError(f"The key file {path} is not usable. {error}") from None
    if any(line.startswith("age1") for line in lines):
        raise KeyFileError(
            f"{path} holds the public half of a key (age1…), which encrypts but cannot decrypt; "
            "give the file with the private half, AGE-SECRET-KEY-1…."
        )
    filled = [line for line in lines if line]
    if not filled:
        raise KeyFileError(f"The key file {path} is empty; {_EXPECTED}.")
    if len(filled) > 1:
        raise KeyFileError(f"{path} is not a key file; {_EXPECTED}.")
    if filled[0].startswith("BACKUP_ENCRYPTION_KEY="):
        raise KeyFileError(
            f"{path} holds a whole line of .env; leave only the passphrase, which is what follows the =."
        )
    # Only the line's end is not part of a passphrase.
    return Passphrase(text.strip("\r\n"))
