"""Write a file that holds secrets: never shown, never readable by others, not even for a moment.

pyinfra's own `files.put` prints whole files with `--diff`, sets the mode after the upload, and leaves a
readable copy in /tmp while it works. Here the content goes through standard input, which is never printed,
into a file that is born 0600 beside its destination and then renamed.
"""

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import operation
from pyinfra.context import host

from .run import ask, own_arguments


@operation()
def secret_file(path: str, content: str, user: str, group: str) -> Generator[StringCommand, None, None]:
    """Make `path` a file of mode 0600 with this content (text; a final line break is added where it lacks
    one).

    The comparison happens on the host: neither the content nor a hash of it comes back.
    """
    text = content if content.endswith("\n") else f"{content}\n"
    destination = shlex.quote(path)
    state = _state(destination, text)
    if state == f"same {user} {group} 600":
        host.noop(f"{path} is as it should be")
        return
    if state.startswith("same"):
        yield StringCommand(f"chown {user}:{group} {destination} && chmod 0600 {destination}")
        return
    fresh = shlex.quote(f"{path}.new")
    # rm: a leftover could be readable, and `>` would keep its mode.
    yield StringCommand(
        f"umask 077 && rm -f {fresh} && cat > {fresh} && chown {user}:{group} {fresh} && mv -f {fresh} "
        f"{destination}",
        _stdin=text,
    )


def _state(destination: str, text: str) -> str:
    """`absent`, `differs`, or `same USER GROUP MODE`."""
    script = (
        f"if ! test -f {destination} || test -L {destination}; then cat > /dev/null; echo absent; "
        f"elif cmp -s - {destination}; then stat -c 'same %U %G %a' {destination}; else echo differs; fi"
    )
    done, output = ask(host, script, stdin=text, **own_arguments(host))
    if not done or not output.stdout_lines:
        raise OperationError(f"{host.name}: cannot look at {destination}: {output.stderr or 'no answer'}")
    return output.stdout_lines[-1]
