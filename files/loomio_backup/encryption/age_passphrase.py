"""age files with a passphrase (https://c2sp.org/age, scrypt recipients), small ones, in memory.

pyrage can do this too, but it measures the machine's speed each time: a file that it writes on a fast machine
takes gigabytes of memory to open, and on a slow or merely busy machine it refuses files that it wrote itself.
Here the work is the same everywhere, the age program's own choice, and what that program opens is opened.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from loomio_backup.encryption import age
from loomio_backup.errors import CryptoError, DamagedObject, WrongKey

ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_ARMOR_END = b"-----END AGE ENCRYPTED FILE-----"
_LABEL = b"age-encryption.org/v1/scrypt"
_WORK = 18  # 2 to this power blocks of 1 KiB: 256 MiB, about a second
_MOST_WORK = 22  # 4 GiB; the age program refuses more, too
_CHUNK = 64 << 10
_TAG = 16
_HEADER = re.compile(
    rb"(age-encryption\.org/v1\n-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n---)"
    rb" ([A-Za-z0-9+/]{43})\n"
)


def encrypt(plaintext: bytes, passphrase: str) -> bytes:
    """An armored age file that `passphrase` opens."""
    salt, file_key, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapped = ChaCha20Poly1305(_wrapping_key(passphrase, salt, _WORK)).encrypt(bytes(12), file_key, b"")
    header = b"age-encryption.org/v1\n-> scrypt %b %d\n%b\n---" % (_text(salt), _WORK, _text(wrapped))
    cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
    starts = range(0, max(len(plaintext), 1), _CHUNK)
    chunks = [
        cipher.encrypt(_counter(index, start == starts[-1]), plaintext[start : start + _CHUNK], b"")
        for index, start in enumerate(starts)
    ]
    whole = header + b" " + _text(_mac(file_key, header)) + b"\n" + nonce + b"".join(chunks)
    text = base64.b64encode(whole)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([ARMOR, *lines, _ARMOR_END, b""])


def decrypt(data: bytes, passphrase: str, name: str) -> bytes:
    """The content of an age file, armored or not; `name` is what messages call it.

    Raises `WrongKey`, `DamagedObject`, or `CryptoError` for one that takes too much work.
    """
    raw = _unarmored(data, name) if data.lstrip().startswith(ARMOR) else data
    found = _HEADER.match(raw)
    if found is None:
        raise _damaged(name)
    header, salt, work, wrapped, mac = found.groups()
    if int(work) > _MOST_WORK:
        raise CryptoError(
            f"{name} asks for {2 ** (int(work) - 20)} GiB of memory and much time to be opened, which no "
            "age file of ours does. If you trust it, open it with the age program."
        )
    wrapping = ChaCha20Poly1305(_wrapping_key(passphrase, _bytes(salt, name), int(work)))
    try:
        file_key = wrapping.decrypt(bytes(12), _bytes(wrapped, name), b"")
    except InvalidTag:
        raise WrongKey(
            f"{name} cannot be opened with this passphrase. "
            "Nothing was changed; compare it with the original, character by character."
        ) from None
    if not hmac.compare_digest(_mac(file_key, header), _bytes(mac, name)):
        raise _damaged(name)
    return _payload(raw[found.end() :], file_key, name)


def _payload(data: bytes, file_key: bytes, name: str) -> bytes:
    cipher = ChaCha20Poly1305(_derived(file_key, data[:16], b"payload"))
    chunks = [data[start : start + _CHUNK + _TAG] for start in range(16, len(data), _CHUNK + _TAG)]
    try:
        plain = [
            cipher.decrypt(_counter(index, index == len(chunks) - 1), chunk, b"")
            for index, chunk in enumerate(chunks)
        ]
    except InvalidTag:
        raise _damaged(name) from None
    # A last chunk may be empty only when it is the only one; no chunk at all is a truncated file.
    if not plain or (len(plain) > 1 and not plain[-1]):
        raise _damaged(name)
    return b"".join(plain)


def _unarmored(data: bytes, name: str) -> bytes:
    lines = data.strip().replace(b"\r\n", b"\n").split(b"\n")
    body = lines[1:-1]
    if lines[0] != ARMOR or lines[-1] != _ARMOR_END or any(len(line) != 64 for line in body[:-1]):
        raise _damaged(name)
    return _bytes(b"".join(body), name)


def _text(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _bytes(text: bytes, name: str) -> bytes:
    """The bytes of base64, padded or not, of which there must be only one spelling."""
    padded = text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4)
    try:
        data = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error:
        raise _damaged(name) from None
    if base64.b64encode(data) != padded:
        raise _damaged(name)
    return data


def _wrapping_key(passphrase: str, salt: bytes, work: int) -> bytes:
    return Scrypt(salt=_LABEL + salt, length=32, n=1 << work, r=8, p=1).derive(passphrase.encode())


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def _mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.new(_derived(file_key, b"", b"header"), header, hashlib.sha256).digest()


def _counter(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _damaged(name: str) -> DamagedObject:
    return age.damaged(name, "it is truncated, or bytes in it were altered")
