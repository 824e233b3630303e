"""What a single secret must look like. Messages complete "… is not a signing key", and contain no value."""

import base64
import binascii
import re
from typing import Annotated, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from pydantic import AfterValidator, BeforeValidator, SecretStr

from inventories import checks
from loomio_backup.encryption import crypto
from loomio_backup.errors import KeyFileError


def _secret(value: Any) -> Any:
    # The model is strict: text becomes a secret here, and anything else is refused as what it is.
    return SecretStr(value) if isinstance(value, str) else value


def _one_line(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text:
        raise ValueError("is empty")
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("holds a line break or another control character")
    return secret


def _identity(secret: SecretStr) -> SecretStr:
    try:
        crypto.recipient_of(secret.get_secret_value())
    except KeyFileError:
        raise ValueError("is not an age identity") from None
    return secret


def _signing_key(secret: SecretStr) -> SecretStr:
    try:
        crypto.signing_public_key(secret.get_secret_value())
    except KeyFileError:
        raise ValueError("is not a signing key") from None
    return secret


def _public_key(text: str) -> str:
    try:
        crypto.check_signing_public_key(text)
    except KeyFileError:
        raise ValueError("is not the public half of a signing key") from None
    return text


def _web_address(secret: SecretStr) -> SecretStr:
    checks.web_address(secret.get_secret_value())
    return secret


def _apprise(secret: SecretStr) -> SecretStr:
    if not re.match(r"[A-Za-z0-9]+://\S", _one_line(secret).get_secret_value()):
        raise ValueError("is not an address of Apprise's kind")
    return secret


def _deploy_key(secret: SecretStr) -> SecretStr:
    try:
        load_ssh_private_key(secret.get_secret_value().encode(), password=None)
    except TypeError:
        raise ValueError("is locked with a passphrase, which nobody could type on the Pi") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not the private half of an SSH key") from None
    return secret


def unpadded(text: str) -> bytes:
    """The bytes of url-safe base64, with or without padding; nothing for what is none."""
    try:
        return base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError):
        return b""


DeployKey = Annotated[SecretStr, AfterValidator(_deploy_key), BeforeValidator(_secret)]
OneLine = Annotated[SecretStr, AfterValidator(_one_line), BeforeValidator(_secret)]
Identity = Annotated[SecretStr, AfterValidator(_identity), BeforeValidator(_secret)]
SigningKey = Annotated[SecretStr, AfterValidator(_signing_key), BeforeValidator(_secret)]
PublicKey = Annotated[str, AfterValidator(_public_key)]
Apprise = Annotated[SecretStr, AfterValidator(_apprise), BeforeValidator(_secret)]
SecretAddress = Annotated[SecretStr, AfterValidator(_web_address), BeforeValidator(_secret)]
