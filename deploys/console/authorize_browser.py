"""Consent in a browser on this machine, which comes back to a port of 127.0.0.1 (RFC 8252, RFC 7636)."""

import base64
import hashlib
import hmac
import os
import queue
import secrets
import sys
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from deploys.console import authorize_google as google
from inventories.validation import SettingsError

_PATIENCE = 600.0  # seconds: people sign in, find their second factor, read
_IDLE = 10  # seconds for a connection that says nothing: browsers open some in advance


def authorize(
    client: google.Client, auth_uri: str, token_uri: str, patience: float = _PATIENCE
) -> dict[str, str]:
    """Ask for consent and return `drive.credentials`. Raises `SettingsError`."""
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    with _Landing(state) as landing:
        address = f"{auth_uri}?{urlencode(_question(client, landing.address, state, verifier))}"
        _show(address)
        try:
            code = landing.arrivals.get(timeout=patience)
        except queue.Empty:
            raise SettingsError(
                f"Nobody came back from the browser within {patience / 60:.0f} minutes. Nothing was changed. "
                "Run the same again; on a machine without a browser, with --device."
            ) from None
    if code is None:
        raise google.denied()
    try:
        status, answer = google.ask(
            token_uri,
            {
                "grant_type": "authorization_code",
                "code": code,
                "client_id": client.client_id,
                "client_secret": client.client_secret,
                "redirect_uri": landing.address,
                "code_verifier": verifier,
            },
        )
    except google.Unreachable as error:
        raise google.unreachable(error) from None
    if status != 200:
        raise google.refused(answer)
    return google.credentials(client, answer)


def _question(client: google.Client, address: str, state: str, verifier: str) -> dict[str, str]:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return {
        "client_id": client.client_id,
        "redirect_uri": address,
        "response_type": "code",
        "scope": google.SCOPE,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        # Both are needed for a refresh token from somebody who has agreed before.
        "access_type": "offline",
        "prompt": "consent",
    }


def _show(address: str) -> None:
    print(
        "Open this address in a browser on this machine, and allow access. The account that you choose there "
        f"is the one whose Drive keeps the backups.\n\n  {address}\n\nWaiting (Ctrl-C gives up) …",
        flush=True,
    )
    # Without a desktop, a browser in text mode would be started, which takes this terminal away.
    if sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    ):
        webbrowser.open(address)


class _Landing:
    """The place where the browser comes back to, for as long as the block lasts.

    `arrivals` gets the code, or None when access was denied. Whatever else knocks (another page, a preview, a
    wrong `state`) is turned away and changes nothing.
    """

    def __init__(self, state: str) -> None:
        self.arrivals: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state, self.arrivals))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> "_Landing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(state: str, arrivals: "queue.SimpleQueue[str | None]") -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(target.query).items()}
            if target.path != "/" or not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
                self._answer(404, "This is not the page that was expected. Go back to the terminal.")
            elif "error" in query:
                self._answer(200, "Access was denied. Go back to the terminal.")
                arrivals.put(None)
            elif code := query.get("code"):
                self._answer(200, "Thank you. You can close this page, and go back to the terminal.")
                arrivals.put(code)
            else:
                self._answer(400, "This page was opened without an answer. Go back to the terminal.")

        def _answer(self, status: int, sentence: str) -> None:
            body = f"<!DOCTYPE html><meta charset=utf-8><title>loomio-pi</title><p>{sentence}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Referrer-Policy", "no-referrer")  # the address holds the code
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are nobody's business: their addresses hold the code."""

    return Handler
