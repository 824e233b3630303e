"""Consent on another machine: a short code, typed into a web page there, while this one waits (RFC 8628)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from deploys.console import authorize_google as google
from inventories.validation import SettingsError

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SLOWER = 5.0  # seconds that slow_down adds to the interval (RFC 8628, section 3.5)


def authorize(
    client: google.Client, device_uri: str, token_uri: str, wait: Callable[[float], None] = time.sleep
) -> dict[str, str]:
    """Ask for consent and return `drive.credentials`. Raises `SettingsError`."""
    try:
        status, answer = google.ask(device_uri, {"client_id": client.client_id, "scope": google.SCOPE})
    except google.Unreachable as error:
        raise google.unreachable(error) from None
    if status != 200:
        raise google.refused(answer)
    try:
        page, code, device = _page(answer), str(answer["user_code"]), str(answer["device_code"])
        interval, seconds = float(answer.get("interval", 5)), float(answer["expires_in"])
    except (KeyError, TypeError, ValueError):
        raise google.unreachable(google.Unreachable("what answered is not in Google's words")) from None
    print(
        "On any machine with a browser open this page, type the code, and allow access. The account that you "
        f"choose there is the one whose Drive keeps the backups.\n\n  {page}\n  {code}\n\n"
        "Waiting (Ctrl-C gives up) …",
        flush=True,
    )
    form = {
        "grant_type": _GRANT,
        "device_code": device,
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }
    return _poll(client, token_uri, form, interval, seconds, wait)


def _page(answer: Mapping[str, Any]) -> str:
    """Where the code is to be typed: Google's name for it, or the standard's."""
    return str(answer["verification_url"] if "verification_url" in answer else answer["verification_uri"])


def _poll(
    client: google.Client,
    token_uri: str,
    form: dict[str, str],
    interval: float,
    seconds: float,
    wait: Callable[[float], None],
) -> dict[str, str]:
    waited = 0.0
    while waited < seconds:
        wait(interval)
        waited += interval
        try:
            status, answer = google.ask(token_uri, form)
        except google.Unreachable:
            interval *= 2  # as section 3.5 wants it; the code stays good meanwhile
            continue
        if status == 200:
            return google.credentials(client, answer)
        match answer.get("error"):
            case "authorization_pending":
                continue
            case "slow_down":
                interval += _SLOWER
            case "access_denied":
                raise google.denied()
            case "expired_token":
                break
            case _:
                raise google.refused(answer)
    raise SettingsError(
        "Nobody typed the code in time, so it has expired. Nothing was changed. Run the same again for a new "
        "one."
    )
