"""age encryption as a stream: pyrage between two file-like objects, with its errors put into words.

pyrage turns every exception of the reader or writer that it is given into one of its own and loses the
original; here the original is kept and raised.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyrage

from loomio_backup.encryption.crypto import Identity, Recipient
from loomio_backup.errors import DamagedObject, WrongKey
from loomio_backup.streams import Sink, Source, write_all


def encrypt(reader: Source, writer: Sink, recipients: Sequence[Recipient]) -> None:
    """Encrypt all of `reader` into `writer` (binary age). Memory: one chunk of 64 KiB."""
    if not recipients:
        raise ValueError("encrypting needs at least one recipient")
    original: list[BaseException] = []
    try:
        pyrage.encrypt_io(_Kept(reader, original), _Kept(writer, original), recipients)
    except Exception:
        if original:
            raise original[0] from None
        raise


def decrypt(reader: Source, writer: Sink, identities: Sequence[Identity], name: str) -> None:
    """Decrypt an age file (binary or armored) into `writer`; `name` is what messages call it.

    Every 64 KiB chunk is authenticated before it is written, the end of the file when this returns. Raises
    `WrongKey` or `DamagedObject`; what was written before that is genuine, but is not all.
    """
    original: list[BaseException] = []
    try:
        with _in_words(name):
            pyrage.decrypt_io(_Kept(reader, original), _Kept(writer, original), identities)
    except Exception:
        if original:
            raise original[0] from None
        raise


@contextlib.contextmanager
def _in_words(name: str) -> Iterator[None]:
    try:
        yield
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise WrongKey(
                f"{name} cannot be opened with this key: it was encrypted for another one. "
                "Nothing was changed; try again with the key that was in use when it was written."
            ) from None
        raise damaged(name, "its first part is truncated, altered or not age at all") from None
    except OSError:
        # pyrage's only OSError of its own: a chunk that does not authenticate, or an end too early or too
        # late.
        raise damaged(name, "it is truncated, or bytes in it were altered") from None


def damaged(name: str, how: str) -> DamagedObject:
    """The error for an object that must not be believed."""
    return DamagedObject(f"{name} is damaged: {how}. Fetch it again, or use another backup.")


class _Kept:
    """Passes read and write on, and keeps the exception that they raise."""

    def __init__(self, file: Any, original: list[BaseException]) -> None:
        self._file = file
        self._original = original

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)  # type: ignore[no-any-return]
        except BaseException as error:
            self._original.append(error)
            raise

    def write(self, data: bytes) -> int:
        try:
            write_all(self._file, data)
        except BaseException as error:
            self._original.append(error)
            raise
        return len(data)

    def flush(self) -> None:
        """pyrage asks for it at the end; whoever opened the file flushes and closes it."""
