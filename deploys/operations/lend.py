"""With an offline key: what opens the backups, lent to a Pi that does not hold it, in memory, for one run."""

import shlex

from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host

from .run import complain


def lent(host: Host, identity: str, path: str, arguments: dict[str, object]) -> bool:
    """Put the identity into the file `path` (below /run), 0600; False when that did not work.

    The unit that needs it takes it as a credential, and removes the file when it ends.
    """
    file = shlex.quote(path)
    # Through standard input, which is never printed; rm: a leftover could be readable.
    script = f"umask 077 && rm -f {file} && cat > {file}"
    done, _output = host.run_shell_command(StringCommand(script), **{**arguments, "_stdin": f"{identity}\n"})
    return done


def taken_back(host: Host, path: str, arguments: dict[str, object]) -> None:
    """Remove the file, in case that the unit never began: what began has read it, and removes it itself."""
    done, _output = host.run_shell_command(StringCommand("rm", "-f", path), **arguments)
    if not done:
        complain(host, f"{path} could not be removed from the Pi. It is in memory, and gone after a reboot.")
