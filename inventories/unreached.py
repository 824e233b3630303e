"""What to say when a Pi cannot be logged in to, or goes away in the middle of the work: pyinfra says why, not
what to do about it.

A new card has a new SSH key, so on the worst evening the first thing that anybody sees is a warning of an
attack. It has to be told apart from one, and never waved through.
"""

import functools
import shlex
from collections.abc import Callable
from typing import Any

import gevent  # type: ignore[import-untyped]
from paramiko import BadHostKeyException, SSHException
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.context import ctx_state


class ConnectionLostError(SSHException, PyinfraError):
    """The Pi went away in the middle of something. pyinfra copes with an SSHException where it expects one;
    anywhere else its run ends with the reason, as with every error of its own, and without a traceback.
    """


TOLD: dict[str, str] = {}
"""What was said in this run, by the host's name."""


class Unreached(BaseStateCallback):
    """Adds our sentence to pyinfra's own when a connection fails or is lost."""

    def host_connect_error(self, _state: State, host: Host, error: Exception) -> None:  # type: ignore[override]
        TOLD[host.name] = sentence(host, error)
        logger.error(f"{host.print_prefix}{TOLD[host.name]}")

    def host_disconnect(self, _state: State, host: Host) -> None:  # type: ignore[override]
        client = getattr(host.connector, "client", None)
        transport = client.get_transport() if client is not None else None
        if transport is not None and not transport.is_active():
            TOLD[host.name] = lost(host.name)
            logger.error(f"{host.print_prefix}{TOLD[host.name]}")


def tell() -> None:
    """Have it told in this run of pyinfra, whoever started it. For inventories."""
    if not ctx_state.isset():  # type: ignore[no-untyped-call]
        return
    state: State = ctx_state.get()  # type: ignore[no-untyped-call]
    hub = gevent.get_hub()
    # What pyinfra raises in its threads is told by the run that waits for them, without a traceback.
    hub.NOT_ERROR = (*hub.NOT_ERROR, PyinfraError)
    for name in ("run_shell_command", "put_file", "get_file"):
        setattr(SSHConnector, name, with_known_errors(getattr(SSHConnector, name)))
    initialise = state.init

    def and_tell(*arguments: Any, **more: Any) -> None:
        initialise(*arguments, **more)
        state.add_callback_handler(Unreached())  # type: ignore[no-untyped-call]

    # pyinfra reads inventories before its state can take handlers, and connects right after that.
    state.init = and_tell  # type: ignore[method-assign]


def with_known_errors(real: Callable[..., Any]) -> Callable[..., Any]:
    """paramiko has several errors for a connection that ends; pyinfra copes with some, in some places."""

    @functools.wraps(real)
    def call(*arguments: Any, **more: Any) -> Any:
        try:
            return real(*arguments, **more)
        except (EOFError, ConnectionError, SSHException) as error:
            raise ConnectionLostError(
                f"the connection was lost ({str(error) or type(error).__name__})"
            ) from error

    return call


def lost(name: str) -> str:
    """The sentence for a Pi that was there when the run began."""
    return (
        f"{name}: the connection to the Pi was lost (power, network, a reboot?). A restore that was begun "
        "there goes on, or comes to its end by itself after a boot. When the Pi answers again, run the same "
        "command again."
    )


def sentence(host: Host, error: Exception) -> str:
    """What happened, what is safe, what to type."""
    name, address, port = host.name, host.data.get("ssh_hostname") or host.name, host.data.get("ssh_port")
    # pyinfra keeps the reason only as what its own error was raised from.
    reason = error.__context__
    if isinstance(reason, BadHostKeyException):
        return changed_key(
            name,
            address,
            port or 22,
            host.data.get("ssh_known_hosts_file"),
            f"{reason.key.get_name()} {reason.key.fingerprint}",
        )
    return (
        f"{name} ({address}, port {port or 22}): could not log in, and nothing was changed on it. Is it "
        f"switched on, and is hosts.{name} right in the settings?"
    )


def changed_key(name: str, address: str, port: int, known_hosts: str | None, key: str) -> str:
    """The sentence for a machine that shows another key than the one that was remembered; `key`: type and
    fingerprint of what it shows.
    """
    entry = address if port == 22 else f"[{address}]:{port}"
    file = f"-f {shlex.quote(known_hosts)} " if known_hosts else ""
    forget = f"ssh-keygen {file}-R {shlex.quote(entry)}"
    return (
        f"{name}: what answers at {address} has another SSH key than the one remembered for it, so it was "
        "not logged in to, and nothing was changed. "
        "Have you just flashed its card anew, or put a new Pi in its place? Then this is expected: the old "
        f"key died with the old card. Forget it, and run the same command again:  {forget}  "
        "Have you not? Then do not: somebody else may be answering in its place. "
        f"The key that it shows now is {key}; a screen on the Pi itself shows the same with: "
        "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done"
    )
