"""Limits of memory that count: a change of the kernel's command line, one restart, and a proof."""

import shlex
from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.memory import Memory, MemoryFact

from .callback import Callback
from .reasons import because
from .reboot import rebooted
from .run import complain, own_arguments

WANTED = "cgroup_enable=memory"
UNWANTED = "cgroup_disable=memory"
#: Needs twice of what it may have: where the limit counts, it is killed.
_PROOF = (
    "systemd-run --quiet --wait --collect -p MemoryMax=32M -p MemorySwapMax=0 "
    "sh -c 'head -c 64M /dev/zero | tail -c 64M > /dev/null'"
)


@operation()
def memory_limits() -> Generator[PyinfraCommand, None, None]:
    """Make the kernel enforce limits of memory. Restarts the Pi, once, where that is needed.

    Raises OperationError where it was started for that and does not, or cannot be told to.
    """
    found = host.get_fact(MemoryFact)
    if found is None or found.enforced:
        host.noop("limits of memory are enforced")
        return
    _refuse(host, found)
    because("the kernel does not enforce limits of memory")
    line = wanted_line(found.line)
    if line != found.line:
        yield StringCommand(_edit(found.file, line))
    arguments = own_arguments(host)

    def restart(state: State, host: Host) -> bool:
        if not rebooted(host, "so that limits of memory count", **arguments):
            return False
        now = host.get_fact(MemoryFact, **arguments)
        killed, _output = host.run_shell_command(StringCommand(f"! {_PROOF}"), **arguments)
        if now is not None and now.enforced and killed:
            return True
        return complain(
            host,
            f"the Pi was restarted with {WANTED} in {found.file}, and a process still gets more "
            "memory than it may "
            f"have. What was there before is in {found.file}.before-loomio-pi. {_WAYS_ON}",
        )

    yield Callback(restart)


_WAYS_ON = (
    "Bring the firmware up to date (on the Pi: sudo apt update && sudo apt full-upgrade), or do "
    "without limits: system: {memory_limits: false}"
)


def _refuse(host: Host, found: Memory) -> None:
    if not found.file:
        raise OperationError(
            f"{host.name}: the kernel does not enforce limits of memory, and there is no cmdline.txt "
            f"to change that in. Nothing was changed. Start it with {WANTED}, or do without: system: "
            f"{{memory_limits: false}}"
        )
    if WANTED in found.running.split():
        raise OperationError(
            f"{host.name}: the kernel was started with {WANTED}, and does not enforce limits of "
            f"memory all the same. The Pi was not restarted again. {_WAYS_ON}"
        )


def wanted_line(line: str) -> str:
    """The kernel's command line (one line, words between spaces) with memory limits switched on."""
    words = [word for word in line.split() if word != UNWANTED]
    return " ".join(words if WANTED in words else [*words, WANTED])


def _edit(file: str, line: str) -> str:
    """A Pi without this line does not start: the old file stays beside, and the new one is on the card whole
    before it takes its place.
    """
    path = shlex.quote(file)
    return (
        f"set -e; test -e {path}.before-loomio-pi || cp -p {path} {path}.before-loomio-pi; "
        f"printf '%s\\n' {shlex.quote(line)} > {path}.new; sync -f {path}.new; mv -f {path}.new "
        f"{path}; sync -f {path}"
    )
