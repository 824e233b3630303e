"""Where people say yes or no: the consent page with its authorization codes, and device codes.

https://developers.google.com/identity/protocols/oauth2/native-app (RFC 8252, PKCE: RFC 7636) and
https://developers.google.com/identity/protocols/oauth2/limited-input-device (RFC 8628). Google's rules that
matter: a code serves once, a refresh token comes only with access_type=offline and, for somebody who has
agreed before, only with prompt=consent; people may untick a scope; device codes are only for OAuth clients
of the type "TVs and Limited Input devices", redirects only for the others. Codes do not survive a restart.
"""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from .accounts import SCOPE, Accounts, Grant
from .errors import ApiError, TokenError
from .exchange import Exchange, Response, json_response

AUTH_PATH = "/o/oauth2/v2/auth"
DEVICE_PATH = "/device"
DEVICE_CODE_PATH = "/device/code"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_CODE_SECONDS = 600
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_DEVICE_SCOPES = frozenset({SCOPE + "drive.file", SCOPE + "drive.appdata", "openid", "email", "profile"})


@dataclass
class _Code:
    """What an authorization code stands for."""

    client_id: str
    email: str
    scopes: list[str]
    redirect_uri: str
    challenge: str
    refresh: bool
    expires: float = field(default_factory=lambda: time.time() + _CODE_SECONDS)


@dataclass
class _Device:
    """A machine that waits for somebody to type its user code; `email` None: nobody has decided yet."""

    client_id: str
    scopes: list[str]
    user_code: str
    interval: float
    expires: float
    email: str | None = None
    denied: bool = False
    polled: float = 0.0


class Consent:
    """The pages that a browser sees, and the grants that come of them.

    `device_interval` and `device_seconds` are what device codes are handed out with; `refresh_tokens` false
    withholds refresh tokens; `testing`: the app is not published.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, _Device] = {}
        self.device_interval, self.device_seconds = 5.0, 1800.0
        self.refresh_tokens, self.testing = True, False

    def handle(self, exchange: Exchange) -> Response:
        """GET and POST of both pages, and POST of a request for a device code."""
        body = exchange.body.read_all().decode("utf-8", "replace")
        form = {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}
        match exchange.method, exchange.path:
            case "GET", path if path == AUTH_PATH:
                self._check_request(exchange.query)
                return _page("allow", exchange.path, exchange.query)
            case "POST", path if path == AUTH_PATH:
                self._check_request(form)
                return self._decided(form)
            case "GET", path if path == DEVICE_PATH:
                return _page("allow", exchange.path, {})
            case "POST", path if path == DEVICE_PATH:
                return self._device_decided(form)
            case "POST", path if path == DEVICE_CODE_PATH:
                return self._device_code(form, exchange.base_url + DEVICE_PATH)
        raise ApiError(405, "Method Not Allowed")

    def redeem(self, form: dict[str, str]) -> dict[str, Any]:
        """An authorization code at the token endpoint; TokenError where Google refuses."""
        client = self._client(form)
        with self._lock:
            code = self._codes.pop(form.get("code", ""), None)  # it serves once, whatever comes of it
        if code is None or code.client_id != client or code.expires < time.time():
            raise TokenError(400, "Malformed auth code.", "invalid_grant")
        if code.redirect_uri != form.get("redirect_uri"):
            raise TokenError(400, "Bad Request", "redirect_uri_mismatch")
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if code.challenge and base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != code.challenge:
            raise TokenError(400, "Invalid code verifier.", "invalid_grant")
        return self._granted(client, code.email, code.scopes, code.refresh)

    def redeem_device(self, form: dict[str, str]) -> dict[str, Any]:
        """A device code at the token endpoint: pending, too fast, expired, denied or granted."""
        client = self._client(form)
        with self._lock:
            code = form.get("device_code", "")
            device = self._devices.get(code)
            if device is None or device.client_id != client:
                raise TokenError(400, "Malformed device code.", "invalid_grant")
            now, before, device.polled = time.time(), device.polled, time.time()
            if device.expires < now:
                raise TokenError(400, "The device code has expired.", "expired_token")
            if now - before < device.interval:
                raise TokenError(403, "Forbidden", "slow_down")
            if device.denied:
                raise TokenError(403, "Forbidden", "access_denied")
            if device.email is None:
                raise TokenError(428, "Precondition Required", "authorization_pending")
            del self._devices[code]
        return self._granted(client, device.email, device.scopes, refresh=True)

    # -- details ---------------------------------------------------------------------------------------------

    def _client(self, form: dict[str, str]) -> str:
        client = form.get("client_id", "")
        if self._accounts.clients.get(client) is None:
            raise TokenError(401, "The OAuth client was not found.", "invalid_client")
        if self._accounts.clients[client] != form.get("client_secret"):
            raise TokenError(401, "Unauthorized", "invalid_client")
        return client

    def _granted(self, client: str, email: str, scopes: list[str], refresh: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"scope": " ".join(scopes)}
        token = ""
        if refresh and self.refresh_tokens:
            token = answer["refresh_token"] = "1//" + secrets.token_urlsafe(60)
            self._accounts.put_grant(Grant(token, email, client, scopes))
            if self.testing:
                answer["refresh_token_expires_in"] = 604799
        return answer | {"access_token": self._accounts.issue(email, client, scopes, token)}

    def _check_request(self, query: dict[str, str]) -> None:
        """Google shows an error page for these, and sends nobody back."""
        client, target = query.get("client_id", ""), urlsplit(query.get("redirect_uri", ""))
        if client not in self._accounts.clients:
            raise ApiError(401, "Error 401: invalid_client. The OAuth client was not found.")
        loopback = target.scheme == "http" and target.hostname in ("127.0.0.1", "::1", "localhost")
        if not loopback or client in self._accounts.device_clients:
            raise ApiError(400, "Error 400: redirect_uri_mismatch")
        if query.get("response_type") != "code" or not query.get("scope"):
            raise ApiError(400, "Error 400: invalid_request")
        if query.get("code_challenge") and query.get("code_challenge_method") != "S256":
            raise ApiError(400, "Error 400: invalid_request")

    def _decided(self, form: dict[str, str]) -> Response:
        answer = {"state": form["state"]} if "state" in form else {}
        email = form.get("email", "")
        if form.get("decision") != "allow":
            answer["error"] = "access_denied"
        elif email not in self._accounts.accounts:
            raise ApiError(400, f"Couldn't find your Google Account: {email}")
        else:
            granted = form["granted"].split() if "granted" in form else form["scope"].split()
            agreed = any(
                grant.email == email and grant.client_id == form["client_id"] and not grant.revoked
                for grant in self._accounts.grants.values()
            )
            refresh = form.get("access_type") == "offline" and (
                not agreed or "consent" in form.get("prompt", "")
            )
            code = "4/0A" + secrets.token_urlsafe(40)
            with self._lock:
                self._codes[code] = _Code(
                    form["client_id"],
                    email,
                    granted,
                    form["redirect_uri"],
                    form.get("code_challenge", ""),
                    refresh,
                )
            answer |= {"code": code, "scope": " ".join(granted)}
        return Response(302, b"", {"Location": f"{form['redirect_uri']}?{urlencode(answer)}"})

    def _device_code(self, form: dict[str, str], page: str) -> Response:
        client = form.get("client_id", "")
        if client not in self._accounts.clients:
            raise TokenError(401, "The OAuth client was not found.", "invalid_client")
        if client not in self._accounts.device_clients:
            message = "Only clients of type 'TVs and Limited Input devices' can use the OAuth 2.0 flow"
            raise TokenError(
                401, f"{message} for TV and Limited-Input Device Applications.", "invalid_client"
            )
        scopes = form.get("scope", "").split()
        if not scopes or not set(scopes) <= _DEVICE_SCOPES:
            raise TokenError(400, "Invalid device flow scope", "invalid_scope")
        letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
        code, user_code = "AH-1Ng" + secrets.token_urlsafe(60), f"{letters[:4]}-{letters[4:]}"
        with self._lock:
            self._devices[code] = _Device(
                client, scopes, user_code, self.device_interval, time.time() + self.device_seconds
            )
        return json_response(
            {
                "device_code": code,
                "user_code": user_code,
                # Google's name for it; RFC 8628 says verification_uri.
                "verification_url": page,
                "expires_in": int(self.device_seconds),
                "interval": int(self.device_interval),
            }
        )

    def _device_decided(self, form: dict[str, str]) -> Response:
        with self._lock:
            waiting = [one for one in self._devices.values() if one.user_code == form.get("user_code")]
            if not waiting or waiting[0].expires < time.time():
                raise ApiError(400, "Invalid code. Try again.")
            if form.get("decision") != "allow":
                waiting[0].denied = True
            elif form.get("email", "") not in self._accounts.accounts:
                raise ApiError(400, "Couldn't find your Google Account")
            else:
                waiting[0].email = form["email"]
        return _page("done", "", {})


def _page(what: str, action: str, fields: dict[str, str]) -> Response:
    """A form that carries `fields` along; what a person fills in are `email`, `decision`, `user_code`."""
    inputs = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    form = f'<form method="post" action="{html.escape(action)}">{inputs}</form>' if what == "allow" else ""
    text = f"<!DOCTYPE html><html><body><h1>{what}</h1>{form}</body></html>\n"
    return Response(200, text.encode(), {"Content-Type": "text/html; charset=utf-8"})
