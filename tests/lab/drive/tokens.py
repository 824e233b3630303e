"""The token endpoint: refresh tokens, codes and signed assertions of service accounts become access tokens.

RFC 6749 and 7523, as https://developers.google.com/identity/protocols/oauth2/service-account describes
Google's use of them. The RS256 check needs nothing but integers (RFC 8017, section 8.2.2), so that no package
has to be installed for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qs

from .accounts import ACCESS_TOKEN_SECONDS, Account, Accounts
from .consent import DEVICE_GRANT, Consent
from .errors import TokenError

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_GOOGLE_AUDIENCES = frozenset(
    {
        "https://oauth2.googleapis.com/token",
        "https://www.googleapis.com/oauth2/v4/token",
        "https://accounts.google.com/o/oauth2/token",
    }
)
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
_DEAD = "Token has been expired or revoked."


def _unbase64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise TokenError(400, "Invalid JWT: malformed base64.", "invalid_grant") from error


def _signed_by(public_key: dict[str, str], message: bytes, signature: bytes) -> bool:
    modulus = int.from_bytes(_unbase64(public_key["n"]))
    exponent = int.from_bytes(_unbase64(public_key["e"]))
    length = (modulus.bit_length() + 7) // 8
    if len(signature) != length:
        return False
    opened = pow(int.from_bytes(signature), exponent, modulus).to_bytes(length)
    digest = _SHA256_PREFIX + hashlib.sha256(message).digest()
    expected = b"\x00\x01" + b"\xff" * (length - len(digest) - 3) + b"\x00" + digest
    return hmac.compare_digest(opened, expected)


class TokenEndpoint:
    """POST /token."""

    def __init__(self, accounts: Accounts, consent: Consent) -> None:
        self._accounts, self._consent = accounts, consent

    def answer(self, body: bytes, own_urls: frozenset[str]) -> bytes:
        """The JSON answer to a form-encoded request; TokenError where Google refuses. `own_urls`: further
        valid `aud`.
        """
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        match form.get("grant_type"):
            case "refresh_token":
                issued = self._refresh(form)
            case kind if kind == _JWT_BEARER:
                issued = self._assertion(form.get("assertion", ""), own_urls)
            case "authorization_code":
                issued = self._consent.redeem(form)
            case kind if kind == DEVICE_GRANT:
                issued = self._consent.redeem_device(form)
            case other:
                raise TokenError(400, f"Invalid grant_type: {other}", "unsupported_grant_type")
        return json.dumps(issued | {"expires_in": ACCESS_TOKEN_SECONDS, "token_type": "Bearer"}).encode()

    def _refresh(self, form: dict[str, str]) -> dict[str, Any]:
        client = form.get("client_id", "")
        if self._accounts.clients.get(client) is None:
            raise TokenError(401, "The OAuth client was not found.", "invalid_client")
        if self._accounts.clients[client] != form.get("client_secret"):
            raise TokenError(401, "Unauthorized", "invalid_client")
        grant = self._accounts.grants.get(form.get("refresh_token", ""))
        if (
            grant is None
            or grant.revoked
            or grant.client_id != client
            or grant.email not in self._accounts.accounts
        ):
            raise TokenError(400, _DEAD, "invalid_grant")
        wanted = form.get("scope", "").split() or grant.scopes
        if not set(wanted) <= set(grant.scopes):
            raise TokenError(400, "Some requested scopes cannot be shown", "invalid_scope")
        token = self._accounts.issue(grant.email, client, wanted, grant.token)
        return {"access_token": token, "scope": " ".join(wanted)}

    def _assertion(self, assertion: str, own_urls: frozenset[str]) -> dict[str, Any]:
        parts = assertion.split(".")
        if len(parts) != 3:
            raise TokenError(400, "Invalid JWT: three parts are expected.", "invalid_grant")
        try:
            header, claims = json.loads(_unbase64(parts[0])), json.loads(_unbase64(parts[1]))
        except ValueError as error:
            raise TokenError(400, "Invalid JWT: not JSON.", "invalid_grant") from error
        issuer = self._accounts.accounts.get(str(claims.get("iss")))
        if issuer is None or issuer.kind != "service":
            raise TokenError(400, "Invalid grant: account not found", "invalid_grant")
        signature = _unbase64(parts[2])
        if header.get("alg") != "RS256" or (
            issuer.public_key
            and not _signed_by(issuer.public_key, f"{parts[0]}.{parts[1]}".encode(), signature)
        ):
            raise TokenError(400, "Invalid JWT Signature.", "invalid_grant")
        self._check_times(claims)
        if claims.get("aud") not in _GOOGLE_AUDIENCES | own_urls:
            raise TokenError(400, "Invalid JWT: Failed audience check.", "invalid_grant")
        scopes = str(claims.get("scope", "")).split()
        if not scopes:
            raise TokenError(400, "Invalid OAuth scope or ID token audience provided.", "invalid_scope")
        account = self._subject(issuer, str(claims["sub"]), scopes) if claims.get("sub") else issuer
        return {"access_token": self._accounts.issue(account.email, issuer.email, scopes)}

    @staticmethod
    def _check_times(claims: dict[str, Any]) -> None:
        now, issued, expires = time.time(), float(claims.get("iat", 0)), float(claims.get("exp", 0))
        if issued > now + 300 or expires < now or expires - issued > 3600 + 60:
            message = (
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                "Check your iat and exp values in the JWT claim."
            )
            raise TokenError(400, message, "invalid_grant")

    def _subject(self, issuer: Account, email: str, scopes: list[str]) -> Account:
        if email == issuer.email:
            return issuer
        account = self._accounts.accounts.get(email)
        if account is None:
            raise TokenError(400, "Invalid email or User ID", "invalid_grant")
        if not set(scopes) <= set(account.delegations.get(issuer.email, [])):
            message = (
                "Client is unauthorized to retrieve access tokens using this method, "
                "or client not authorized for any of the scopes requested."
            )
            raise TokenError(401, message, "unauthorized_client")
        return account
