"""How the deploys become root without handing the sudo password to any process.

pyinfra puts a sudo password into the environment of every remote command, where other programs of the same
user can read it. So pyinfra is given a placeholder, and an askpass program of ours that holds the real one: a
file that only the user can read, in a directory that only the user can enter, written through standard input
and removed at the end. The same directory takes pyinfra's temporary files, which would otherwise lie world-
readable in /tmp.
"""

import shlex
from typing import Any

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback
from pyinfra.context import state

from deploys.facts.machine import Machine
from deploys.operations.reboot import RENEWAL

#: What pyinfra sees and may print: the password itself is in the askpass program.
PLACEHOLDER = "asked-from-askpass"
#: Name of the private directory, before a random part.
PREFIX = "loomio-pi-"


def arguments(host: Host) -> dict[str, Any]:
    """Arguments that make `host.run_shell_command` run as root; it inherits nothing by itself."""
    found = {"_sudo": True, "_temp_dir": host.data.get("_temp_dir")}
    if password := host.data.get("_sudo_password"):
        found["_sudo_password"] = password
    return found


def acquire(host: Host, machine: Machine, password: str | None) -> None:
    """Make `_sudo` work on this host for the rest of the deploy, or raise DeployError with the reason.

    `password` is the user's sudo password; it is not used where sudo asks for none.
    """
    if machine.sudo == "absent":
        raise DeployError(
            f"{host.name}: sudo is not installed. Nothing was changed. Install it on the Pi (as root: apt "
            f"install sudo; adduser {machine.user} sudo) and run this again."
        )
    # Data of the host is what reaches every operation and fact, nested ones included.
    host.data._sudo = True
    host.data._sudo_password = None
    directory = _private_directory(host, machine)
    host.data._temp_dir = directory
    host.connector_data[RENEWAL] = lambda: _renew(host, directory, None)
    if machine.sudo == "free":
        return
    if not password:
        raise DeployError(
            f"{host.name}: sudo asks {machine.user} for a password, and the secrets file has none. Nothing "
            f"was changed. Add hosts.{host.data.host_name}.sudo_password with: loomio-pi secrets edit"
        )
    _install_askpass(host, directory, password)
    host.connector_data[RENEWAL] = lambda: _renew(host, directory, password)
    done, _output = host.run_shell_command(StringCommand("true"), **arguments(host))
    if not done:
        raise DeployError(
            f"{host.name}: sudo did not accept the password of {machine.user} "
            f"(hosts.{host.data.host_name}.sudo_password in the secrets file), or {machine.user} may not "
            "use sudo. Nothing was changed. Correct it with: loomio-pi secrets edit"
        )


def _renew(host: Host, directory: str, password: str | None) -> None:
    """Make what a restart of the Pi took away once more, at the same place."""
    quoted = shlex.quote(directory)
    done, _output = host.run_shell_command(StringCommand(f"umask 077; test -d {quoted} || mkdir -p {quoted}"))
    if not done:
        raise DeployError(f"{host.name}: cannot create {directory} after the restart. Run this again.")
    if password:
        _install_askpass(host, directory, password)


def _private_directory(host: Host, machine: Machine) -> str:
    """Create a directory of mode 0700, preferably in memory, and have it removed when pyinfra disconnects."""
    base = machine.runtime or f"{machine.home}/.cache"
    # Whatever a killed deploy left behind goes after a day.
    script = (
        f"umask 077; mkdir -p {shlex.quote(base)} && "
        f"find {shlex.quote(base)} -maxdepth 1 -name '{PREFIX}*' -user {machine.uid} -mmin +1440 -exec rm "
        f"-rf {{}} + ; "
        f"mktemp -d {shlex.quote(base)}/{PREFIX}XXXXXXXX"
    )
    done, output = host.run_shell_command(StringCommand(script))
    if not done or not output.stdout_lines:
        raise DeployError(
            f"{host.name}: cannot create a private directory in {base} for {machine.user}. Nothing was "
            "changed. Is the disk full, or read-only?"
        )
    directory = output.stdout_lines[-1]
    state.add_callback_handler(_RemoveAtTheEnd(host, directory))  # type: ignore[no-untyped-call]
    return directory


def _install_askpass(host: Host, directory: str, password: str) -> None:
    path = f"{directory}/askpass"
    # printf is built into sh: the password is in no argument list.
    program = f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(password)}\n"
    script = f"umask 077; cat > {path} && chmod 0700 {path} && test -x {path}"
    done, _output = host.run_shell_command(StringCommand(script), _stdin=program)
    if not done:
        raise DeployError(
            f"{host.name}: cannot write a program to {directory} (is it mounted noexec?). Nothing was "
            "changed."
        )
    host.data._sudo_password = PLACEHOLDER
    # pyinfra looks for an askpass program under the temporary directory that is in force: ours, or its
    # default one.
    default: str = host.get_temp_dir_config()  # type: ignore[no-untyped-call]
    for temporary in (directory, default):
        host.connector_data[f"sudo_askpass_path__{temporary}"] = path


class _RemoveAtTheEnd(BaseStateCallback):
    """Removes the private directory when pyinfra disconnects: after success, failure and Ctrl-C alike."""

    def __init__(self, host: Host, directory: str) -> None:
        # Not the host itself: what a deploy file knows as `host` is a different one in every thread of work.
        self.name = host.name
        self.directory = directory

    def host_disconnect(self, _state: Any, host: Host) -> None:  # type: ignore[override]
        if host.name != self.name:
            return
        try:
            done, _output = host.run_shell_command(StringCommand("rm", "-rf", "--", self.directory))
        except (OSError, EOFError, SSHException):
            done = False
        if not done:
            logger.warning(
                f"{host.name}: {self.directory} could not be removed; it goes with the next reboot or deploy."
            )
