"""How a person is told: any Apprise address, a mail account, and a dead man's switch.

Every address holds secrets (tokens, passwords, names that nobody is to guess). So no address and nothing that
a library says about one is ever shown: a channel is called by its place in the secrets file, a failure by its
kind.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from requests.adapters import HTTPAdapter, Retry

from loomio_backup.credentials import ALERTS, Credentials
from loomio_backup.errors import ConfigError
from loomio_backup.monitoring import mail
from loomio_backup.monitoring.mail import MailAccount, MailFailed

_TIMEOUT = 10  # seconds, for each try
_LONGEST_BODY = 3000
"""Characters: some services refuse longer messages (Telegram's limit is 4096)."""


class Alerts(BaseModel):
    """The credential `alerts.json`: Apprise addresses, the address of a dead man's switch, a mail account."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    urls: list[str] = Field(default=[], repr=False)
    ping_url: str | None = Field(default=None, repr=False)
    smtp: MailAccount | None = None

    @property
    def any(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.urls or self.smtp)


@dataclass(frozen=True)
class Message:
    """What a person reads: one line, and some more."""

    subject: str
    body: str
    kind: Literal["failure", "success", "info"] = "failure"


@dataclass(frozen=True)
class Delivery:
    """How one channel did; `error` says why it failed, None: it worked. Neither holds a secret."""

    channel: str
    error: str | None


def load(credentials: Credentials) -> Alerts:
    """Who is to be told. Raises ConfigError."""
    text = credentials.optional(ALERTS)
    if text is None:
        return Alerts()
    try:
        return Alerts.model_validate(json.loads(text))
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, item["loc"])) or "the whole" for item in error.errors()}))
    except ValueError:
        wrong = "it is not JSON"
    raise ConfigError(
        f"the credential {ALERTS} cannot be used ({wrong}), so nobody would be told of a failure. Backups "
        "are not concerned. Correct alerts in the secrets file (loomio-pi secrets edit), then run the setup "
        "deploy again."
    )


def send(alerts: Alerts, message: Message) -> list[Delivery]:
    """Tell everybody; one Delivery per channel. A channel that fails does not keep it from the others."""
    body = message.body
    if len(body) > _LONGEST_BODY:
        body = body[:_LONGEST_BODY].rstrip() + " …\n(More on the Pi: loomio-backup status)"
    short = Message(message.subject.replace("\n", " "), body, message.kind)
    done = [
        Delivery(f"alerts.urls, number {number}{_scheme(url)}", _by_apprise(url, short))
        for number, url in enumerate(alerts.urls, start=1)
    ]
    if alerts.smtp is not None:
        account = alerts.smtp
        done.append(Delivery("alerts.smtp", _why(lambda: mail.send(account, short.subject, short.body))))
    return done


def _scheme(url: str) -> str:
    found = re.match(r"[a-z][a-z0-9+]{0,20}(?=://)", url)
    return f" ({found[0]})" if found else ""


def ping(alerts: Alerts, *, well: bool) -> Delivery | None:
    """Tell the dead man's switch that all is well, or (`/fail`, as healthchecks.io has it) that it is not.
    None when there is none.
    """
    if alerts.ping_url is None:
        return None
    try:
        error = _get(alerts.ping_url if well else _with_fail(alerts.ping_url))
    except requests.Timeout:
        error = "did not answer in time"
    except requests.ConnectionError:
        error = "could not be reached"  # the exception's own text holds the address
    except (requests.RequestException, ValueError):
        error = "is no web address"
    return Delivery("alerts.ping_url", error)


def _get(url: str) -> str | None:
    # Only GET: everybody who offers such addresses understands it.
    again = (429, 500, 502, 503, 504)
    patience = Retry(total=3, backoff_factor=0.5, status_forcelist=again, raise_on_status=False)
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=patience))
        status = session.get(url, timeout=_TIMEOUT).status_code
    return None if status < 300 else f"answered with status {status}"


def _with_fail(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def _why(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except MailFailed as error:
        return str(error)
    return None


def _by_apprise(url: str, message: Message) -> str | None:
    """Send to one Apprise address; why it failed, or None."""
    import apprise  # 25 MB and a fifth of a second that only an alert is worth

    said = _Said()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [said], False
    service = apprise.Apprise(asset=apprise.AppriseAsset(storage_mode="memory"))
    if not service.add(url):
        return "is not an address that Apprise understands"
    kinds = {
        "failure": apprise.NotifyType.FAILURE,
        "success": apprise.NotifyType.SUCCESS,
        "info": apprise.NotifyType.INFO,
    }
    done = service.notify(
        title=message.subject,
        body=message.body,
        notify_type=kinds[message.kind],
        body_format=apprise.NotifyFormat.TEXT,
    )
    return None if done else said.reason


class _Said(logging.Handler):
    """Listens to what Apprise logs, which may hold whole addresses, and keeps the kind of failure only."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = "did not accept the message"

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        status = re.search(r"error=(\d{3})\b", text)
        if status:
            self.reason = f"answered with status {status[1]}"
        elif "onnection error" in text:
            self.reason = "could not be reached"
