"""Alerts by mail, over the account that the operator names (the settings that Loomio's own mail has, too).

With the standard library and not through an address such as mailto://user:password@…: a password may hold any
character, and none of them means anything here.
"""

import base64
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from pydantic import BaseModel, ConfigDict, Field

from loomio_backup import clock

_TIMEOUT = 30  # seconds
_IMPLICIT_TLS = 465


class MailAccount(BaseModel):
    """`use_ssl`: TLS from the start; else STARTTLS. `to` may be several addresses, with commas between."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server: str
    port: int = 587
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    use_ssl: bool = False
    sender: str = Field(alias="from")
    to: str


class MailFailed(Exception):  # noqa: N818
    """The mail was not accepted; the text says why and holds no secret."""


def send(account: MailAccount, subject: str, body: str) -> None:
    """Send one mail. Raises MailFailed."""
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = account.sender
    message["To"] = account.to
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = make_msgid(domain="loomio-backup.invalid")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in return
    message.set_content(body)
    try:
        with _connected(account) as server:
            if account.username is not None:
                _log_in(server, account.username, account.password or "")
            server.send_message(message)
    except smtplib.SMTPResponseException as error:
        # The server's own words may repeat what it was told.
        what = "username and password" if isinstance(error, smtplib.SMTPAuthenticationError) else "the mail"
        raise MailFailed(f"{account.server} does not accept {what} (code {error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({str(code) for code, _ in error.recipients.values()})
        raise MailFailed(
            f"{account.server} does not accept the recipient (code {', '.join(codes)})"
        ) from None
    except smtplib.SMTPException as error:
        raise MailFailed(f"{account.server} did not take part ({type(error).__name__})") from None
    except ssl.SSLCertVerificationError as error:
        raise MailFailed(
            f"{account.server} has no certificate that can be believed ({error.verify_message})"
        ) from None
    except OSError as error:
        raise MailFailed(
            f"{account.server}, port {account.port}: {error.strerror or error or type(error).__name__}"
        ) from None


def _connected(account: MailAccount) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if account.use_ssl or account.port == _IMPLICIT_TLS:
        return smtplib.SMTP_SSL(account.server, account.port, timeout=_TIMEOUT, context=context)
    server = smtplib.SMTP(account.server, account.port, timeout=_TIMEOUT)
    try:
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
        elif account.username is not None:
            raise MailFailed(
                f"{account.server} offers no encryption (STARTTLS), so the password was not sent: use its "
                "other port (465 with use_ssl: true), or a server that needs no password"
            )
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server: smtplib.SMTP, username: str, password: str) -> None:
    if username.isascii() and password.isascii():
        server.login(username, password)
        return
    # The library's own login knows ASCII only; RFC 4616 says UTF-8.
    server.ehlo_or_helo_if_needed()
    secret = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
    code, answer = server.docmd("AUTH", f"PLAIN {secret}")
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, answer)
