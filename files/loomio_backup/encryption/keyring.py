"""The keyring: the identities that were used before, as an age file for the present one.

It is made on the operator's machine when the key changes (`loomio-pi secrets rotate-key`), and lies beside
the backups: so the present identity, or a kit made with it, opens every older backup, too. It is small, and
handled in memory.
"""

import hashlib
import io
from collections.abc import Sequence

import pyrage

from loomio_backup.encryption import age, crypto

PREFIX = "keyring_"
SUFFIX = ".age"
MOST_BYTES = 1 << 18
"""More than any keyring has: what is larger was put there under a false name."""


def make(old_identities: Sequence[str], recipients: Sequence[str]) -> str:
    """An armored age file with `old_identities` (one a line, newest first), for these `recipients`."""
    text = "".join(identity + "\n" for identity in old_identities)
    return bytes(
        pyrage.encrypt(text.encode(), [crypto.recipient(one) for one in recipients], armored=True)
    ).decode()


def opened(data: bytes, identities: Sequence[str], name: str) -> list[str]:
    """The old identities in a keyring, newest first; `name` is what messages call it.

    Raises `WrongKey` or `DamagedObject`; `KeyFileError` for what holds no identities.
    """
    content = io.BytesIO()
    age.decrypt(io.BytesIO(data), content, crypto.parse_identities("\n".join(identities)), name)
    text = content.getvalue().decode(errors="replace")
    return [str(identity) for identity in crypto.parse_identities(text)]


def as_stored(text: str) -> bytes:
    """The bytes of a keyring in a store, from the text of the credential."""
    return text.encode() + b"\n"


def object_name(data: bytes) -> str:
    """What this keyring is called in a store."""
    return f"{PREFIX}{hashlib.sha256(data).hexdigest()[:16]}{SUFFIX}"


def is_keyring(object_name: str) -> bool:
    """Whether an object in a store is a keyring, by its name."""
    return object_name.startswith(PREFIX) and object_name.endswith(SUFFIX)
