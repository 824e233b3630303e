"""The format of the older backups (`loomio_backup_*.sql.enc`): one Fernet token per file, in constant memory.

A token (https://github.com/fernet/spec) is url-safe base64, padded, of

    0x80 | seconds since 1970, 8 bytes big-endian | IV, 16 bytes | AES-128-CBC with PKCS#7 padding |
    HMAC-SHA256

where the HMAC covers all that is before it. The 32 bytes of key, of which the first half signs and the second
half encrypts, are PBKDF2-HMAC-SHA256 of the passphrase. The `Fernet` class of `cryptography` writes and reads
the same bytes, but holds the whole file in memory several times.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from loomio_backup import clock
from loomio_backup.errors import DamagedObject
from loomio_backup.streams import Sink, Source, read_blocks, write_all

START = b"gAAAAA"
"""How every token begins: the version, and the upper half of a time before the year 2106."""

_SALT = b"loomio-backup-salt"
_ROUNDS = 100_000
_VERSION = b"\x80"
_HEAD = 1 + 8 + 16
_TAG = 32
_AES_BLOCK = 16
_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/  ")
_SPACE = b" \t\r\n"


def derive_key(passphrase: str) -> bytes:
    """The 32 bytes of key that belong to a passphrase (BACKUP_ENCRYPTION_KEY, used as text)."""
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), _SALT, _ROUNDS, dklen=32)


def encrypt(reader: Source, writer: Sink, key: bytes) -> None:
    """Write everything in `reader` to `writer` as one token."""
    head = _VERSION + int(clock.now().timestamp()).to_bytes(8, "big") + os.urandom(16)
    tag = hmac.new(key[:16], head, hashlib.sha256)
    cipher = Cipher(algorithms.AES128(key[16:]), modes.CBC(head[9:])).encryptor()
    padder = PKCS7(_AES_BLOCK * 8).padder()

    def pieces() -> Iterator[bytes]:
        yield head
        for block in read_blocks(reader):
            yield cipher.update(padder.update(block))
        yield cipher.update(padder.finalize()) + cipher.finalize()

    rest = b""
    for piece in pieces():
        if piece is not head:
            tag.update(piece)
        rest += piece
        whole = len(rest) - len(rest) % 3
        write_all(writer, base64.urlsafe_b64encode(rest[:whole]))
        rest = rest[whole:]
    write_all(writer, base64.urlsafe_b64encode(rest + tag.digest()))


def decrypt(reader: Source, writer: Sink, key: bytes, name: str) -> None:
    """Decrypt one token; `name` is what messages call it.

    What is written to `writer` is proven genuine only when this returns: on `DamagedObject` throw it away. A
    wrong passphrase and an altered file cannot be told apart.
    """
    raw = _Held(_decoded(reader, name))
    head = raw.take(_HEAD)
    if len(head) < _HEAD or head[:1] != _VERSION:
        raise _damaged(name)
    tag = hmac.new(key[:16], head, hashlib.sha256)
    cipher = Cipher(algorithms.AES128(key[16:]), modes.CBC(head[9:])).decryptor()
    unpadder = PKCS7(_AES_BLOCK * 8).unpadder()
    size = 0
    for block in raw.all_but(_TAG):
        tag.update(block)
        size += len(block)
        write_all(writer, unpadder.update(cipher.update(block)))
    if size % _AES_BLOCK or not size or not hmac.compare_digest(tag.digest(), raw.rest):
        raise _damaged(name)
    # Only after the HMAC: what a padding says about an altered file is nobody's business.
    try:
        write_all(writer, unpadder.update(cipher.finalize()) + unpadder.finalize())
    except ValueError:
        raise _damaged(name) from None


def _damaged(name: str) -> DamagedObject:
    return DamagedObject(
        f"{name} cannot be opened: either the passphrase is not the one that it was encrypted with, or the "
        "file is truncated or altered. Nothing was changed; compare the passphrase, or use another backup."
    )


def _decoded(reader: Source, name: str) -> Iterator[bytes]:
    """What url-safe base64 stands for; white space is skipped, the rest must be canonical."""
    text = b""
    ended = False
    for block in read_blocks(reader):
        text += block.translate(_TO_STANDARD, _SPACE)
        if ended and text:
            raise _damaged(name)
        whole = len(text) - len(text) % 4
        raw = _decoded_exactly(text[:whole], name)
        ended = text[:whole].endswith(b"=")
        text = text[whole:]
        yield raw
    if text:
        raise _damaged(name)


def _decoded_exactly(text: bytes, name: str) -> bytes:
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise _damaged(name) from None
    # The last characters carry bits that decoding ignores; a change there is a change too.
    if text.endswith(b"=") and binascii.b2a_base64(raw[-(len(raw) % 3) :], newline=False) != text[-4:]:
        raise _damaged(name)
    return raw


class _Held:
    """A stream of bytes whose last ones can be kept back."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.rest = b""

    def take(self, size: int) -> bytes:
        while len(self.rest) < size and (block := next(self._blocks, None)) is not None:
            self.rest += block
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def all_but(self, size: int) -> Iterator[bytes]:
        """Everything except the last `size` bytes (or fewer, if there are not as many): `rest` afterwards."""
        while True:
            if len(self.rest) > size:
                block, self.rest = self.rest[:-size], self.rest[-size:]
                yield block
            more = next(self._blocks, None)
            if more is None:
                return
            self.rest += more
