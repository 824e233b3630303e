"""The older backups' format: the same bytes as the `Fernet` class of `cryptography`, read strictly."""

import base64
import hashlib
import io
import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from loomio_backup.encryption import fernet
from loomio_backup.errors import DamagedObject
from loomio_backup.streams import BLOCK

VECTORS = Path(__file__).parent / "vectors"
PASSPHRASE = "5f0c9a7e3b1d4c2286ad90e1b7c34f58d1e2a3b4c5d6e7f8091a2b3c4d5e6f70"
KEY = fernet.derive_key(PASSPHRASE)
GUIDE = Fernet(
    # Exactly as the program that wrote the older backups did it.
    base64.urlsafe_b64encode(
        hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), b"loomio-backup-salt", 100000, dklen=32)
    )
)


def opened(token: bytes, key: bytes = KEY) -> bytes:
    out = io.BytesIO()
    fernet.decrypt(io.BytesIO(token), out, key, "old.sql.enc")
    return out.getvalue()


def closed(content: bytes) -> bytes:
    out = io.BytesIO()
    fernet.encrypt(io.BytesIO(content), out, KEY)
    return out.getvalue()


def test_the_vector_opens() -> None:
    token = (VECTORS / "loomio_backup_20240115_120000.sql.enc").read_bytes()
    assert opened(token) == (VECTORS / "loomio_backup_20240115_120000.sql").read_bytes()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=500))
def test_both_ways_with_the_fernet_class(content: bytes) -> None:
    assert opened(GUIDE.encrypt(content)) == content
    token = closed(content)
    assert GUIDE.decrypt(token) == content
    assert opened(token) == content


@pytest.mark.parametrize("around", [BLOCK // 4 * 3, BLOCK, 2 * BLOCK])
@pytest.mark.parametrize("offset", [-80, -33, -16, -1, 0, 1, 15, 57])
def test_both_ways_where_blocks_meet(around: int, offset: int) -> None:
    content = bytes(range(256)) * ((around + offset) // 256) + b"x" * ((around + offset) % 256)
    assert opened(GUIDE.encrypt(content)) == content
    assert GUIDE.decrypt(closed(content)) == content


def test_a_token_says_when_it_was_written() -> None:
    before = int(time.time())
    assert before <= GUIDE.extract_timestamp(closed(b"content")) <= time.time()
    assert closed(b"content") != closed(b"content")


def test_white_space_around_and_in_a_token_is_no_damage() -> None:
    token = closed(b"content " * 100)
    lines = b"\r\n".join(token[start : start + 76] for start in range(0, len(token), 76))
    assert opened(b"\n" + lines + b"\n") == b"content " * 100


def test_every_flipped_bit_is_noticed() -> None:
    token = closed(b"some content, and its end")
    for position in range(len(token)):
        for bit in range(8):
            altered = token[:position] + bytes([token[position] ^ 1 << bit]) + token[position + 1 :]
            with pytest.raises(DamagedObject):
                opened(altered)


def test_every_truncation_and_every_addition_is_noticed() -> None:
    token = closed(b"some content, and its end")
    for size in range(len(token)):
        with pytest.raises(DamagedObject):
            opened(token[:size])
    for more in [b"A", b"=", b"AAAA", token]:
        with pytest.raises(DamagedObject):
            opened(token + more)


def test_the_wrong_passphrase_is_told_in_one_sentence_without_it() -> None:
    with pytest.raises(DamagedObject) as caught:
        opened(closed(b"content"), fernet.derive_key("another"))
    assert "passphrase" in str(caught.value)
    assert "old.sql.enc" in str(caught.value)
    assert "another one" not in str(caught.value)


def test_passphrases_are_text() -> None:
    assert fernet.derive_key("pässwörd") == hashlib.pbkdf2_hmac(
        "sha256", "pässwörd".encode(), b"loomio-backup-salt", 100_000, 32
    )
