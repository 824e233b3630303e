"""SSH with keys only, in a way that cannot lock the operator out."""

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host
from pyinfra.facts.files import FileContents

from deploys.facts.ssh import SshServerFact

from .callback import Callback
from .reasons import because
from .run import complain, own_arguments
from .second_login import arm, confirmed, problem_with_new_login

#: The server takes the first value that it reads; Imager and cloud-init write theirs into 50-….
PATH = "/etc/ssh/sshd_config.d/01-loomio-pi.conf"
CONTENT = """# Keys only: see ssh_keys_only in the settings.
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
_UNIT = "loomio-pi-undo-ssh"
_RELOAD = "systemctl try-reload-or-restart ssh.service"
_UNDO = f"rm -f {PATH}; {_RELOAD}"
_CHANGE = f"""
mkdir -p {PATH.rpartition("/")[0]} /run/sshd
{arm(_UNIT, _UNDO)} || exit 1
printf %s '{CONTENT.replace("'", "")}' > {PATH}.new && chmod 0644 {PATH}.new && mv -f {PATH}.new {PATH}
if ! /usr/sbin/sshd -t; then
  {_UNDO}; systemctl stop {_UNIT}.timer
  echo 'the SSH server does not accept its configuration (above); it was left as it was.' >&2
  exit 1
fi
{_RELOAD}
"""


@operation()
def ssh_keys_only(wanted: bool) -> Generator[PyinfraCommand, None, None]:
    """Have the SSH server take keys only, or take our word for it away."""
    lines = host.get_fact(FileContents, path=PATH)
    if not wanted:
        if lines is None:
            host.noop("logging in with passwords is as the Pi has it")
            return
        because(f"{PATH} is there, and no longer declared")
        yield StringCommand(_UNDO)
        return
    server = host.get_fact(SshServerFact)
    written = lines is not None and "".join(f"{line}\n" for line in lines) == CONTENT
    if written and not server.passwords:
        host.noop("the SSH server takes keys only")
        return
    if written:
        raise OperationError(
            f"{host.name}: {PATH} switches passwords off, and the SSH server takes them all the same: "
            "another file "
            "comes first (on the Pi: sudo grep -rn PasswordAuthentication /etc/ssh). Nothing was changed."
        )
    because("the SSH server takes passwords" if server.passwords else f"{PATH} is not as declared")
    arguments = own_arguments(host)

    def look(state: State, host: Host) -> bool:
        problem = problem_with_new_login(host)
        if problem is None:
            return True
        return complain(
            host,
            f"A second login with your key did not work ({problem}), so passwords were left switched "
            "on. Nothing was changed.",
        )

    def keep(state: State, host: Host) -> bool:
        if host.get_fact(SshServerFact, **arguments).passwords:
            host.run_shell_command(StringCommand(f"{_UNDO}; systemctl stop {_UNIT}.timer"), **arguments)
            return complain(
                host,
                "The SSH server takes passwords in spite of our file: another one comes first (on "
                "the Pi: sudo grep -rn PasswordAuthentication /etc/ssh). Ours was taken away again.",
            )
        return confirmed(host, _UNIT, _UNDO, "SSH with keys only", **arguments)

    yield Callback(look)
    yield StringCommand(_CHANGE)
    yield Callback(keep)
