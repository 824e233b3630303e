"""What entry N of the ledger consists of: known to its writer and to those who check it, from the seed alone.

Standard library only, because the image and the comparison (tests/lab/data) both import it.
"""

import base64
import hashlib
import random

# The ledger's rows in Loomio's own tables have id FIRST_ID + number, far above every seeded or sequence-made
# id; its files' keys start with KEY_PREFIX. So seeded data can be compared while a ledger is being written.
FIRST_ID = 1_500_000_000
KEY_PREFIX = "zz"
TOPIC_ID = FIRST_ID
TEMPORARY_SUFFIX = ".part"

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_GREETINGS = (
    "Tēnā koutou",
    "Здравствуйте",
    "مرحبا",
    "你好",
    "नमस्ते",
    "Γειά σας",
    "👋🏽 hello",
    "e\u0301te\u0301",
)


def blob_key(seed: int, number: int) -> str:
    """28 characters of lower-case base 36, like an ActiveStorage key, in the ledger's own directory."""
    value = int.from_bytes(hashlib.sha256(f"key {seed} {number}".encode()).digest(), "big")
    digits = []
    for _ in range(26):
        value, digit = divmod(value, 36)
        digits.append(_DIGITS[digit])
    return KEY_PREFIX + "".join(digits)


def blob_path(key: str) -> str:
    """Where ActiveStorage's disk service keeps a key, relative to the storage directory."""
    return f"{key[:2]}/{key[2:4]}/{key}"


def body(seed: int, number: int) -> str:
    """The text of an entry, and of the comment that goes with it."""
    token = hashlib.sha256(f"body {seed} {number}".encode()).hexdigest()
    return f"{_GREETINGS[number % len(_GREETINGS)]}\t№ {number}\n{token}"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def content(seed: int, number: int) -> bytes:
    """The attachment of an entry: 1 byte to 64 KiB, every 50th number up to 1 MiB."""
    source = random.Random(f"content {seed} {number}")
    limit = 1024 * 1024 if number % 50 == 0 else 64 * 1024
    return source.randbytes(1 + int(source.random() * limit))


def checksum(data: bytes) -> str:
    """ActiveStorage's checksum: base64 of the MD5."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
