"""Many small files in one go: one by one, each costs several journeys to the Pi and back."""

import shlex
from collections.abc import Generator, Mapping

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import FactError
from pyinfra.api.operation import operation
from pyinfra.context import host

from .reasons import because
from .run import ask, own_arguments


@operation()
def files_at_once(folder: str, contents: Mapping[str, str]) -> Generator[StringCommand, None, None]:
    """Make those of the files (root's, mode 0644, no secrets) that are not in the folder yet. What is there
    stays as it is: `files.put` for each one says whether that is right.
    """
    there = _names(folder)
    absent = {name: content for name, content in contents.items() if name not in there}
    if not absent:
        host.noop(f"all are in {folder}")
        return
    because(f"not in {folder}: {', '.join(absent)}")
    yield StringCommand(script(folder, absent))


def script(folder: str, contents: Mapping[str, str]) -> str:
    """The shell script that makes these files."""
    # Each on a line of its own: where the disk is full, `set -e` has to see it.
    lines = ["set -e", "umask 022", f"cd {shlex.quote(folder)}"]
    lines += [
        f"printf %s {shlex.quote(content)} > {shlex.quote(f'{name}.new')}"
        for name, content in contents.items()
    ]
    # Under its name a file is there whole, or not at all, also after a power cut.
    lines.append("sync -f .")
    lines += [f"mv -f {shlex.quote(f'{name}.new')} {shlex.quote(name)}" for name in contents]
    return "\n".join(lines)


def _names(folder: str) -> frozenset[str]:
    done, output = ask(host, f"ls -1 {shlex.quote(folder)}", **own_arguments(host))
    if not done:
        raise FactError(f"{host.name}: cannot look into {folder}: {output.stderr or 'no answer'}")
    return frozenset(output.stdout_lines)
