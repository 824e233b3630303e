"""`loomio-pi init` tries out what it is told, before it writes it down: login, sudo, mail, Drive."""

import smtplib
import ssl
from typing import Any

from deploys.console.pi_ssh import PiConnection
from deploys.facts.machine import Machine, MachineFact
from deploys.steps import preflight
from inventories.settings import Host
from inventories.validation import SettingsError
from loomio_backup.catalogue.manifest import is_manifest
from loomio_backup.config import DriveStore
from loomio_backup.stores.drive import DriveFolder

_SECONDS = 20


def login(name: str, host: Host) -> Machine:
    """Log in, and ask the machine what it is. Raises `SettingsError` and `AgentError`."""
    with PiConnection(name, host, None, asks=False) as pi:
        machine = pi.asked("logging in", MachineFact(), root=False)
    if machine is None:
        raise SettingsError(f"{name} answers, but not as a Debian system does.")
    if machine.uid == 0:
        raise SettingsError(f"{host.user} is root there; an ordinary user who may use sudo is needed.")
    if machine.sudo == "absent":
        raise SettingsError(
            f"sudo is not installed there (as root: apt install sudo; adduser {host.user} sudo)."
        )
    if problem := preflight.system_problem(machine):
        raise SettingsError(f"Logged in, but {problem}")
    return machine


def sudo(name: str, host: Host, password: str | None) -> None:
    """Become root. Raises `AgentError`."""
    with PiConnection(name, host, password, asks=False) as pi, pi.command("becoming root", "true") as output:
        output.read()


def mail(server: str, port: int, *, use_ssl: bool, username: str | None, password: str | None) -> None:
    """Log in to a mail server; nothing is sent. Raises `SettingsError`."""
    context = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(server, port, timeout=_SECONDS, context=context)
            if use_ssl
            else smtplib.SMTP(server, port, timeout=_SECONDS)
        ) as connection:
            connection.ehlo()
            if not use_ssl and connection.has_extn("starttls"):
                connection.starttls(context=context)
                connection.ehlo()
            if (
                username is not None
                and not use_ssl
                and not connection.has_extn("starttls")
                and not _here(server)
            ):
                raise SettingsError(
                    f"{server}, port {port}: it offers no TLS, and the password would be readable on the way."
                )
            if username is not None:
                connection.login(username, password or "")
    except smtplib.SMTPAuthenticationError as error:
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else ""
        raise SettingsError(
            f"{server} does not accept {username} with this password ({error.smtp_code} {said}). Many "
            "providers want an app password here."
        ) from None
    except smtplib.SMTPException as error:
        raise SettingsError(f"{server}, port {port}: logging in failed ({error}).") from None
    except ssl.SSLError as error:
        raise SettingsError(
            f"{server}, port {port}: no TLS came about ({error.reason}). Port 465 wants TLS from the start, "
            "587 does not."
        ) from None
    except OSError as error:
        raise SettingsError(f"{server}, port {port} cannot be reached ({error.strerror or error}).") from None


def _here(server: str) -> bool:
    return server in ("localhost", "127.0.0.1", "::1")


def drive(store: DriveStore, credentials: dict[str, Any]) -> int:
    """Store a test object in the folder, and read it back. Returns how many backups are in there. Raises
    `AgentError`.
    """
    folder = DriveFolder(store, credentials)
    found = sum(1 for one in folder.list() if is_manifest(one.name))
    folder.probe()
    return found
