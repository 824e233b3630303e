"""Keys: age identities and recipients that open and close objects, Ed25519 keys that sign manifests.

Formats: an identity is age's own text (`AGE-SECRET-KEY-1…`), a recipient its public half (`age1…`); signing
keys, their public halves and signatures are the raw bytes of RFC 8032 (32, 32 and 64) in standard base64.
"""

import base64
import binascii
import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pyrage import IdentityError, RecipientError, x25519

from loomio_backup.errors import KeyFileError, SignatureError

# pyrage has no type information; these names at least say what is meant.
Identity: TypeAlias = Any
Recipient: TypeAlias = Any

IDENTITY_PREFIX = "AGE-SECRET-KEY-1"


def parse_identities(text: str) -> list[Identity]:
    """Read an age identity file: one identity per line, `#` comments and empty lines allowed.

    Raises `KeyFileError`, which names the line by its number and never by its content.
    """
    identities = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            identities.append(x25519.Identity.from_str(stripped))
        except IdentityError:
            # "from None": pyrage's message may quote what it read.
            raise KeyFileError(
                f"Line {number} of the key is not an age identity (they start with {IDENTITY_PREFIX}); "
                "compare it with the original, character by character."
            ) from None
    if not identities:
        raise KeyFileError(
            f"The key holds no age identity; a line that starts with {IDENTITY_PREFIX} is expected."
        )
    return identities


def recipient(text: str) -> Recipient:
    """The recipient that `text` (`age1…`) stands for; raises `KeyFileError` when it is none."""
    try:
        return x25519.Recipient.from_str(text.strip())
    except RecipientError:
        # People paste the wrong half of a key pair: never repeat what may be a private key.
        shown = repr(text) if text.strip().lower().startswith("age1") else "the given text"
        raise KeyFileError(
            f"{shown} is not an age recipient; expected the public half of a key: age1 and 58 characters."
        ) from None


def generate_identity() -> str:
    """A new age identity (X25519), as text."""
    return str(x25519.Identity.generate())


def recipient_of(identity: str) -> str:
    """The public half (`age1…`) of the one identity in `identity`."""
    found = parse_identities(identity)
    if len(found) != 1:
        raise KeyFileError(f"One age identity is expected here, not {len(found)}.")
    return str(found[0].to_public())


def fingerprint(recipient_text: str) -> str:
    """Short name of a key for manifests and messages: the first 16 hex digits of the recipient's SHA-256."""
    return hashlib.sha256(recipient_text.strip().encode()).hexdigest()[:16]


def generate_signing_key() -> tuple[str, str]:
    """A new signing key: (seed, public key), both base64 of 32 raw bytes."""
    seed = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
    return seed, signing_public_key(seed)


def signing_public_key(seed_b64: str) -> str:
    """The public half (base64) of a signing key."""
    return base64.b64encode(_private(seed_b64).public_key().public_bytes_raw()).decode()


def sign(seed_b64: str, data: bytes) -> str:
    """Ed25519 signature over `data`, base64."""
    return base64.b64encode(_private(seed_b64).sign(data)).decode()


def verify(public_b64: str, data: bytes, signature_b64: str) -> None:
    """Return when the signature is good; raise `SignatureError` when it is not, or is none at all."""
    public = Ed25519PublicKey.from_public_bytes(_raw(public_b64, 32, "The public signing key"))
    try:
        public.verify(base64.b64decode(signature_b64, validate=True), data)
    except (InvalidSignature, ValueError):
        raise SignatureError(
            "The signature is not by this Pi's signing key: "
            "the content was altered, or another installation wrote it."
        ) from None


def verify_any(public_keys: Sequence[str], data: bytes, signature_b64: str) -> None:
    """Like `verify`, for a signature by any of these keys."""
    for public_b64 in public_keys[:-1]:
        with contextlib.suppress(SignatureError):
            verify(public_b64, data, signature_b64)
            return
    verify(public_keys[-1], data, signature_b64)


def check_signing_public_key(public_b64: str) -> None:
    """Raise `KeyFileError` for what is not the public half of a signing key."""
    _raw(public_b64, 32, "The public signing key")


def _private(seed_b64: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_raw(seed_b64, 32, "The signing key"))


def _raw(text: str, size: int, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise KeyFileError(f"{what} is not valid: expected base64 of {size} bytes.")
    return raw
