"""age files with a passphrase: other programs read ours, we read theirs, damage never passes."""

import os
import re
import shutil
from pathlib import Path

import pyrage
import pytest

from loomio_backup.encryption import age_passphrase
from loomio_backup.errors import CryptoError, DamagedObject, WrongKey
from tests.unit.operator_desk import converse

CONTENTS = {
    "empty": b"",
    "short": b"text",
    "chunk": os.urandom(65_536),
    "more": os.urandom(65_537),
    "chunks": os.urandom(131_072),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_round_trip(kind: str) -> None:
    data = age_passphrase.encrypt(CONTENTS[kind], "pässphrase")
    assert age_passphrase.decrypt(data, "pässphrase", "x") == CONTENTS[kind]
    assert age_passphrase.decrypt(data.replace(b"\n", b"\r\n") + b"\n", "pässphrase", "x") == CONTENTS[kind]


def test_what_pyrage_wrote() -> None:
    theirs = pyrage.passphrase.encrypt(CONTENTS["more"], "word")
    assert age_passphrase.decrypt(theirs, "word", "x") == CONTENTS["more"]


def test_the_age_program_reads_ours_and_we_read_its(tmp_path: Path) -> None:
    age = shutil.which("age")
    assert age, "install the package age"
    (tmp_path / "ours").write_bytes(age_passphrase.encrypt(CONTENTS["chunks"], "word"))
    code, printed = converse(
        [age, "-d", "-o", "plain", "ours"], {"passphrase": "word"}, dict(os.environ), cwd=tmp_path
    )
    assert code == 0, printed
    assert (tmp_path / "plain").read_bytes() == CONTENTS["chunks"]
    answers = {"(leave empty": "word", "onfirm": "word"}
    code, printed = converse(
        [age, "-p", "-a", "-o", "theirs", "plain"], answers, dict(os.environ), cwd=tmp_path
    )
    assert code == 0, printed
    assert age_passphrase.decrypt((tmp_path / "theirs").read_bytes(), "word", "x") == CONTENTS["chunks"]


def test_every_altered_byte_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age_passphrase, "_WORK", 4)  # hundreds of attempts: none of them needs to be slow
    data = age_passphrase.encrypt(b"content", "word")
    for position in range(len(data) - 1):
        for bit in (1, 4, 64):
            altered = data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :]
            try:
                age_passphrase.decrypt(altered, "word", "the file")
            except (DamagedObject, WrongKey, CryptoError) as error:
                assert "the file" in str(error)
            else:
                pytest.fail(f"byte {position}")
    for size in range(len(data) - 1):
        with pytest.raises((DamagedObject, WrongKey)):
            age_passphrase.decrypt(data[:size], "word", "x")
    for more in (b"x", b"\nx", data):
        with pytest.raises(DamagedObject):
            age_passphrase.decrypt(data + more, "word", "x")


def test_chunks_cannot_be_cut_off_swapped_or_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age_passphrase, "_WORK", 4)
    raw = age_passphrase._unarmored(age_passphrase.encrypt(os.urandom(3 * 65_536 + 5), "word"), "x")
    start = raw.index(b"--- ") + 48 + 16
    size = 65_536 + 16
    head, chunks = raw[:start], [raw[at : at + size] for at in range(start, len(raw), size)]
    assert age_passphrase.decrypt(head + b"".join(chunks), "word", "x")
    for wrong in (
        chunks[:3],
        chunks[:0],
        chunks[1:],
        [chunks[1], chunks[0], *chunks[2:]],
        [chunks[0], *chunks],
    ):
        with pytest.raises(DamagedObject):
            age_passphrase.decrypt(head + b"".join(wrong), "word", "x")


def test_the_wrong_passphrase() -> None:
    data = age_passphrase.encrypt(b"content", "s3cret")
    with pytest.raises(WrongKey) as caught:
        age_passphrase.decrypt(data, "s3cret ", "the file")
    assert str(caught.value).startswith("the file cannot be opened with this passphrase.")
    assert "s3cret" not in str(caught.value)


def test_too_much_work_is_refused_before_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age_passphrase, "_WORK", 4)
    raw = age_passphrase._unarmored(age_passphrase.encrypt(b"content", "word"), "x")
    with pytest.raises(CryptoError, match="asks for 1024 GiB"):
        age_passphrase.decrypt(re.sub(rb" 4\n", b" 30\n", raw, count=1), "word", "x")
