"""Keys and signatures: what is accepted, and that a message never repeats a secret."""

import base64
import subprocess
from pathlib import Path

import pytest

from loomio_backup.encryption import crypto
from loomio_backup.errors import KeyFileError, SignatureError


def test_an_identity_file_may_hold_comments_empty_lines_and_several_identities() -> None:
    first, second = crypto.generate_identity(), crypto.generate_identity()
    text = f"# created: today\n# public key: {crypto.recipient_of(first)}\n{first}\n\n  {second}  \r\n"
    assert [str(key) for key in crypto.parse_identities(text)] == [first, second]


def test_the_age_program_agrees_about_the_recipient(tmp_path: Path) -> None:
    identity = crypto.generate_identity()
    (tmp_path / "key").write_text(identity)
    answer = subprocess.run(
        ["age-keygen", "-y", tmp_path / "key"], check=True, capture_output=True, text=True
    ).stdout
    assert answer.strip() == crypto.recipient_of(identity)


@pytest.mark.parametrize(
    "damage", [lambda s: s[:-1], lambda s: s[:-1] + "Q" * 2, lambda s: s + "X", lambda s: "secret"]
)
def test_a_mistyped_identity_is_refused_by_its_line_number_only(damage: object) -> None:
    identity = crypto.generate_identity()
    mistyped = damage(identity)  # type: ignore[operator]
    with pytest.raises(KeyFileError) as caught:
        crypto.parse_identities(f"# comment\n{mistyped}\n")
    assert "Line 2" in str(caught.value)
    assert mistyped not in str(caught.value)


def test_an_empty_identity_file_is_refused() -> None:
    with pytest.raises(KeyFileError, match="no age identity"):
        crypto.parse_identities("# only a comment\n")


def test_one_identity_is_one() -> None:
    with pytest.raises(KeyFileError, match="not 2"):
        crypto.recipient_of(f"{crypto.generate_identity()}\n{crypto.generate_identity()}")


def test_a_private_key_given_as_recipient_is_not_repeated() -> None:
    identity = crypto.generate_identity()
    with pytest.raises(KeyFileError) as caught:
        crypto.recipient(identity)
    assert identity not in str(caught.value)
    with pytest.raises(KeyFileError, match="age1mistyped"):
        crypto.recipient("age1mistyped")


def test_fingerprints_are_short_stable_and_differ() -> None:
    known = "age1l6wl0rwrrawqk3ma7uw0d60qtutmdgukcudjkdl9le6kdskrmd0s2pd6dk"
    assert crypto.fingerprint(known) == crypto.fingerprint(f" {known}\n") == "7e00a0a017007fbe"
    assert crypto.fingerprint(crypto.recipient_of(crypto.generate_identity())) != crypto.fingerprint(known)


def test_signatures_hold_for_exactly_what_was_signed() -> None:
    seed, public = crypto.generate_signing_key()
    assert crypto.signing_public_key(seed) == public
    assert len(base64.b64decode(seed)) == len(base64.b64decode(public)) == 32
    signature = crypto.sign(seed, b"manifest")
    crypto.verify(public, b"manifest", signature)
    _, stranger = crypto.generate_signing_key()
    for key, data, given in [
        (public, b"manifesT", signature),
        (stranger, b"manifest", signature),
        (public, b"manifest", crypto.sign(seed, b"")),
        (public, b"manifest", "not base64!"),
        (public, b"manifest", ""),
    ]:
        with pytest.raises(SignatureError):
            crypto.verify(key, data, given)


def test_signing_is_ed25519_of_rfc_8032() -> None:
    # RFC 8032, section 7.1, test 3.
    seed = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    expected = (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    signature = crypto.sign(base64.b64encode(seed).decode(), bytes.fromhex("af82"))
    assert base64.b64decode(signature).hex() == expected


@pytest.mark.parametrize(
    "key",
    ["", "AAAA", "not base64", crypto.generate_identity()],
    ids=["nothing", "short", "text", "identity"],
)
def test_what_is_no_signing_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        crypto.sign(key, b"data")
    assert not key or key not in str(caught.value)
