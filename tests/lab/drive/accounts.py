"""Who may talk to the emulator: users, service accounts, OAuth clients, grants and access tokens.

Drive's rules that matter to a backup: a refresh token can die (`invalid_grant`), a service account owns no
storage, delegation (`sub`) must have been granted, and an access token lives an hour.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from .database import Database
from .errors import ApiError

ACCESS_TOKEN_SECONDS = 3599
SCOPE = "https://www.googleapis.com/auth/"
_WRITING = frozenset({SCOPE + "drive", SCOPE + "drive.file"})
_SEEING_ALL = frozenset({SCOPE + "drive", SCOPE + "drive.readonly", SCOPE + "drive.metadata.readonly"})


@dataclass
class Account:
    """A Google account. `quota` is in bytes, None for unlimited; service accounts have none to speak of."""

    email: str
    kind: str = "user"  # or "service"
    quota: int | None = None
    root_id: str = ""
    public_key: dict[str, str] | None = None  # a JWK's n and e: what service accounts sign with
    delegations: dict[str, list[str]] = field(default_factory=dict)  # service account's email → scopes


@dataclass
class Grant:
    """A refresh token: what one user allowed one OAuth client."""

    token: str
    email: str
    client_id: str
    scopes: list[str]
    revoked: bool = False


@dataclass
class _AccessToken:
    email: str
    client_id: str
    scopes: list[str]
    expires: float
    grant: str = ""


@dataclass(frozen=True)
class Caller:
    """The account behind a request, and through which client and scopes it speaks."""

    email: str
    kind: str
    client_id: str
    scopes: frozenset[str]

    @property
    def may_write(self) -> bool:
        return bool(self.scopes & _WRITING)

    @property
    def sees_everything(self) -> bool:
        """False with drive.file: only files that this very OAuth client made are visible."""
        return bool(self.scopes & _SEEING_ALL)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Accounts:
    """Registered accounts, clients, grants and live access tokens; tokens are kept as hashes only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.RLock()
        self.accounts = {key: Account(**body) for key, body in database.load("account").items()}
        self.clients: dict[str, str] = database.load("client")
        #: Clients of the type "TVs and Limited Input devices".
        self.device_clients: set[str] = set(database.load("device_client"))
        self.grants = {key: Grant(**body) for key, body in database.load("grant").items()}
        self._tokens = {key: _AccessToken(**body) for key, body in database.load("token").items()}

    def put_account(self, account: Account) -> None:
        """Register or replace an account."""
        with self._lock:
            self.accounts[account.email] = account
            self._database.save("account", account.email, asdict(account))

    def put_client(self, client_id: str, secret: str, device: bool = False) -> None:
        """Register an OAuth client; `device`: of the type for machines without a browser."""
        with self._lock:
            self.clients[client_id] = secret
            self._database.save("client", client_id, secret)
            if device:
                self.device_clients.add(client_id)
                self._database.save("device_client", client_id, True)

    def put_grant(self, grant: Grant) -> None:
        """Register a refresh token, or change it; revoking one also ends its access tokens."""
        with self._lock:
            self.grants[grant.token] = grant
            self._database.save("grant", grant.token, asdict(grant))
            if grant.revoked:
                self._forget(
                    key for key, token in self._tokens.items() if token.grant == _digest(grant.token)
                )

    def issue(self, email: str, client_id: str, scopes: list[str], grant: str = "") -> str:
        """A new access token, good for an hour."""
        value = "ya29." + secrets.token_urlsafe(48)
        token = _AccessToken(
            email, client_id, scopes, time.time() + ACCESS_TOKEN_SECONDS, _digest(grant) if grant else ""
        )
        with self._lock:
            self._tokens[_digest(value)] = token
            self._database.save("token", _digest(value), asdict(token))
        return value

    def end_token(self, value: str) -> None:
        """Make one access token invalid, as if it had expired."""
        with self._lock:
            self._forget([_digest(value)])

    def end_all_tokens(self) -> None:
        """Make every access token invalid, as if each had expired."""
        with self._lock:
            self._forget(list(self._tokens))

    def _forget(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            if self._tokens.pop(key, None):
                self._database.delete("token", key)

    def caller(self, authorization: str | None, token: str | None) -> Caller:
        """Who sends this request; ApiError 401 without a live access token."""
        if authorization and authorization.lower().startswith("bearer "):
            token = authorization[7:].strip()
        refusal = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
        if not token:
            raise ApiError(401, "Login Required.", "required", headers=refusal)
        with self._lock:
            found = self._tokens.get(_digest(token))
            account = self.accounts.get(found.email) if found else None
        if found is None or account is None or found.expires <= time.time():
            raise ApiError(401, "Invalid Credentials", "authError", headers=refusal)
        return Caller(found.email, account.kind, found.client_id, frozenset(found.scopes))

    def summary(self) -> dict[str, Any]:
        """What is registered, without any secret."""
        with self._lock:
            return {
                "accounts": [
                    {
                        "email": account.email,
                        "kind": account.kind,
                        "quota": account.quota,
                        "root_id": account.root_id,
                    }
                    for account in self.accounts.values()
                ],
                "clients": sorted(self.clients),
                "grants": [
                    {
                        "email": grant.email,
                        "client_id": grant.client_id,
                        "scopes": grant.scopes,
                        "revoked": grant.revoked,
                    }
                    for grant in self.grants.values()
                ],
            }
