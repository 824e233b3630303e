"""`loomio-backup decrypt`: removes the encryption from one object, without configuration, store or Pi.

It opens whatever this program or its predecessor wrote, and finds out by itself which that is. OUT appears
only after every byte of IN was authenticated. Compression is left as it is: `zstd -d` and `tar` do the rest.
"""

import argparse
import base64
import binascii
import contextlib
import enum
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from loomio_backup.encryption import age, age_passphrase, fernet, keyfile
from loomio_backup.errors import AgentError, CryptoError, KeyFileError
from loomio_backup.restore import appearing
from loomio_backup.streams import BLOCK

_MOST_IN_MEMORY = 16 << 20  # bytes; age files with a passphrase are small, and opened whole


class _Kind(enum.Enum):
    AGE = enum.auto()
    """age, encrypted to recipients."""
    AGE_WITH_PASSPHRASE = enum.auto()
    FERNET = enum.auto()
    """The format of the older backups."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "--key-file",
        metavar="K",
        type=Path,
        required=True,
        help="a file with an age identity (AGE-SECRET-KEY-1…), or with a passphrase in its one line",
    )
    parser.add_argument("source", metavar="IN", type=Path, help="the encrypted file")
    parser.add_argument("destination", metavar="OUT", type=Path, help="the file to write; must not exist")


def run(arguments: argparse.Namespace) -> int:
    """The verb: returns the exit code 0, or raises `AgentError`."""
    decrypt_file(arguments.key_file, arguments.source, arguments.destination)
    return 0


def decrypt_file(key_file: Path, source: Path, destination: Path) -> None:
    """Decrypt `source` into the new file `destination` (0600). Raises `AgentError`; then nothing changed."""
    key = keyfile.read(key_file)
    _check_place(source, destination)
    with _opened(source) as file:
        kind = _recognise(file.start(), source)
        _check_key(kind, key, source, key_file)
        with appearing.new_file(destination) as out:
            _decrypt(kind, key, file, out, source)


def _check_place(source: Path, destination: Path) -> None:
    with contextlib.suppress(OSError):
        if destination.samefile(source):
            raise AgentError(f"IN and OUT are the same file, {source}; give OUT another name.")
    if os.path.lexists(destination):
        raise AgentError(
            f"{destination} exists already and was left as it is; "
            "give a name for OUT that does not exist yet, or move this one away."
        )
    if not destination.parent.is_dir():
        raise AgentError(f"There is no directory {destination.parent} to write {destination.name} into.")


def _recognise(head: bytes, source: Path) -> _Kind:
    text = head.lstrip()
    header = _unarmored(text) if text.startswith(age_passphrase.ARMOR) else head
    if header.startswith(b"age-encryption.org/"):
        return _Kind.AGE_WITH_PASSPHRASE if b"\n-> scrypt " in header else _Kind.AGE
    if text.startswith(fernet.START):
        return _Kind.FERNET
    if not head:
        raise CryptoError(f"{source} is empty: there is nothing to decrypt. Fetch it again.")
    raise CryptoError(
        f"{source} is neither an age file nor a .sql.enc file of the older backups, "
        "or its first bytes are damaged. If it should be one, fetch it again, or use another backup."
    )


def _unarmored(text: bytes) -> bytes:
    lines = [line.strip() for line in text.split(b"\n")[1:8]]
    try:
        return base64.b64decode(b"".join(line for line in lines if len(line) == 64))
    except binascii.Error:
        # Damaged; opening it will say so.
        return b"age-encryption.org/"


def _check_key(kind: _Kind, key: keyfile.Key, source: Path, key_file: Path) -> None:
    if kind is _Kind.AGE and isinstance(key, keyfile.Passphrase):
        raise KeyFileError(
            f"{source.name} is encrypted to an age key, but {key_file} does not hold one; "
            "give the file with the line AGE-SECRET-KEY-1…."
        )
    if kind is not _Kind.AGE and isinstance(key, keyfile.Identities):
        raise KeyFileError(
            f"{source.name} is encrypted with a passphrase, but {key_file} holds an age key; "
            "give a file with the passphrase in its one line"
            + (" (BACKUP_ENCRYPTION_KEY)." if kind is _Kind.FERNET else ".")
        )


def _decrypt(kind: _Kind, key: keyfile.Key, file: "_In", out: BinaryIO, source: Path) -> None:
    if isinstance(key, keyfile.Identities):
        age.decrypt(file, out, key.keys, source.name)
    elif kind is _Kind.FERNET:
        fernet.decrypt(file, out, fernet.derive_key(key.text), source.name)
    else:
        out.write(_opened_whole(file, key.text, source))


def _opened_whole(file: "_In", text: str, source: Path) -> bytes:
    data = file.read(_MOST_IN_MEMORY + 1)
    if len(data) > _MOST_IN_MEMORY:
        raise CryptoError(
            f"{source.name} is larger than {_MOST_IN_MEMORY >> 20} MiB and encrypted with a passphrase, "
            f"which this program opens only in memory; use age instead: age -d -o OUT {source}"
        )
    return age_passphrase.decrypt(data, text, source.name)


@contextlib.contextmanager
def _opened(source: Path) -> Iterator["_In"]:
    try:
        file = io.BufferedReader(source.open("rb", buffering=0), BLOCK)
    except OSError as error:
        raise AgentError(f"{source} cannot be read: {error.strerror or error}.") from None
    with file:
        yield _In(file, source)


class _In:
    """The file to decrypt; what goes wrong with reading it must not be told as something about OUT."""

    def __init__(self, file: "io.BufferedReader[io.FileIO]", path: Path) -> None:
        self._file = file
        self._path = path

    def start(self) -> bytes:
        """The first bytes, which stay unread: IN may be a pipe."""
        with self._in_words():
            return self._file.peek(4096)[:4096]

    def read(self, size: int) -> bytes:
        with self._in_words():
            return self._file.read(size)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AgentError(f"{self._path} cannot be read: {error.strerror or error}.") from None
