"""What both ways of authorising share: the OAuth client, Google's token endpoint, and what its answers mean.

The two flows are written out here, on requests, and not taken from google-auth-oauthlib 1.5: it knows only
the one with a browser, and gives that up at the first request which reaches its port, whatever it is. The
other one (RFC 8628) needs the same endpoint anyway.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from inventories.settings import display
from inventories.validation import SettingsError

#: Only files that this OAuth client has made: enough for backups, and Google asks for no verification.
SCOPE = "https://www.googleapis.com/auth/drive.file"
_ENOUGH = frozenset({SCOPE, "https://www.googleapis.com/auth/drive"})
_TIMEOUT = 30  # seconds without a byte
_SAFE = "Nothing was changed."
_PUBLISH = (
    "Publish it (in the Google Cloud console: Google Auth Platform, Audience, Publish app), then run the "
    "same again"
)


class Unreachable(Exception):  # noqa: N818 - may pass by itself
    """Google did not answer; the text says what the network said."""


@dataclass(frozen=True, repr=False)
class Client:
    """An OAuth client of the operator's own Cloud project."""

    client_id: str
    client_secret: str


def read_client(path: Path) -> Client:
    """The client in the JSON file that Google offers for download. Raises `SettingsError`."""
    shown = display(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{shown} cannot be read: {error.strerror}. {_SAFE}") from None
    except ValueError:
        document = None
    inner = document.get("installed") if isinstance(document, dict) else None
    if isinstance(document, dict) and "web" in document:
        raise SettingsError(
            f"{shown} is an OAuth client for web pages, which cannot be used here. {_SAFE} Make another one "
            "of the type Desktop app, and download that."
        )
    if isinstance(document, dict) and document.get("type") == "service_account":
        raise SettingsError(
            f"{shown} is the key of a service account, which needs nobody's consent. {_SAFE} Paste it as "
            "drive.credentials with: loomio-pi secrets edit"
        )
    if not isinstance(inner, dict) or not all(
        isinstance(inner.get(key), str) and inner[key] for key in ("client_id", "client_secret")
    ):
        raise SettingsError(
            f"{shown} is not the JSON file of an OAuth client. {_SAFE} In the Google Cloud console make a "
            "client of the type Desktop app (Google Auth Platform, Clients), and download its JSON."
        )
    return Client(inner["client_id"], inner["client_secret"])


def ask(url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """POST a form; status and JSON. Raises `Unreachable` also for what is no answer of Google's."""
    try:
        answer = requests.post(url, data=dict(form), timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise Unreachable(_cause(error)) from None
    try:
        document = answer.json()
    except requests.exceptions.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or answer.status_code >= 500:
        raise Unreachable(f"status {answer.status_code}, and not in Google's words")
    return answer.status_code, document


def unreachable(error: Unreachable) -> SettingsError:
    """The sentence when a single request got no answer."""
    return SettingsError(
        f"Google could not be reached ({error}). {_SAFE} Check the network, then run the same again."
    )


def refused(answer: Mapping[str, Any]) -> SettingsError:
    """The sentence for the token endpoint's no (RFC 6749, section 5.2)."""
    code, detail = str(answer.get("error", "")), str(answer.get("error_description", ""))
    said = f"Google says {code}: {detail}" if detail else f"Google says {code}"
    if code == "invalid_client":
        if "limited input" in detail.lower() or "client type" in detail.lower():
            return SettingsError(
                f"This OAuth client cannot be used with --device ({said}). {_SAFE} Make another one in the "
                "same Cloud project, of the type TVs and Limited Input devices, or run this without --device "
                "on a machine that has a browser."
            )
        return SettingsError(
            f"Google does not know this OAuth client, or its secret is another one ({said}). {_SAFE} "
            "Download its JSON file again, and name it with --client FILE."
        )
    return SettingsError(f"The consent could not be turned into access ({said}). {_SAFE} Run the same again.")


def denied() -> SettingsError:
    """The sentence when somebody said no."""
    return SettingsError(f"Access was denied in the browser. {_SAFE} Run the same again, and allow it.")


def credentials(client: Client, answer: Mapping[str, Any]) -> dict[str, str]:
    """`drive.credentials` out of a granting answer. Raises `SettingsError` for access that would not last."""
    granted = str(answer.get("scope", "")).split()
    if not _ENOUGH.intersection(granted):
        raise SettingsError(
            f"Access was allowed without the one permission that is needed. {_SAFE} Run the same again, and "
            "leave the box for Google Drive ticked."
        )
    token = answer.get("refresh_token")
    if not isinstance(token, str) or not token:
        raise SettingsError(
            "Google gave access for an hour only, without the lasting part (a refresh token), which a backup "
            f"by night needs. {_SAFE} Remove this app at https://myaccount.google.com/connections, then run "
            "the same again."
        )
    if seconds := answer.get("refresh_token_expires_in"):
        raise SettingsError(
            f"Google gave access for {int(seconds) // 86400} days only, because the app is still in testing: "
            f"after that no backup would reach Drive. {_SAFE} {_PUBLISH}."
        )
    return {
        "type": "authorized_user",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "refresh_token": token,
    }


def _cause(error: BaseException) -> str:
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return getattr(error, "strerror", None) or type(error).__name__
