"""Changes that could lock the operator out: each is undone by the Pi itself unless a second login shows that
it does not. The connection of the deploy proves nothing: it was there before.
"""

import shlex
from typing import Any

from paramiko import SSHException
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host

from .run import complain

#: How long the Pi waits for the second login before it goes back.
PATIENCE_SECONDS = 180


def arm(unit: str, undo: str) -> str:
    """A shell command that has the Pi run the shell command `undo` by itself, unless disarmed in time."""
    return (
        f"systemctl stop {unit}.timer 2> /dev/null; systemctl reset-failed {unit}.service 2> /dev/null; "
        f"systemd-run --quiet --collect --unit={unit} --on-active={PATIENCE_SECONDS} sh -c "
        f"{shlex.quote(undo)}"
    )


def confirmed(host: Host, unit: str, undo: str, what: str, **arguments: Any) -> bool:
    """Log in a second time; then the change stays. Otherwise it is undone at once, and said so.

    `unit`: as armed. `what`: the change, as a sentence begins with it.
    """
    problem = problem_with_new_login(host)
    script = f"systemctl stop {unit}.timer"
    if problem is None:
        done, _output = host.run_shell_command(StringCommand(script), **arguments)
        return done
    host.run_shell_command(StringCommand(f"{undo}; {script}"), **arguments)
    return complain(
        host,
        f"{what} was undone: with it, a second login from this computer did not work ({problem}). All "
        "is as it was "
        f"before; should this connection break, too, the Pi goes back by itself within {PATIENCE_SECONDS} s.",
    )


def problem_with_new_login(host: Host) -> str | None:
    """Why a new connection, with the operator's key and no password, does not work; None where it does."""
    connector = type(host.connector)(host.state, host)
    try:
        connector.connect()
        done, _output = connector.run_shell_command(StringCommand("true"), False, False, _timeout=30)
    except (ConnectError, OSError, EOFError, SSHException) as error:
        return str(error) or type(error).__name__
    finally:
        client = getattr(connector, "client", None)
        if client is not None:
            client.close()
    return None if done else "no command can be run"
