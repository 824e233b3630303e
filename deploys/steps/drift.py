"""What setup would change on this Pi, found out without changing anything: each operation that setup declares
is asked for its first command, and none of them is kept to be run.

That is how pyinfra's own `--dry` finds changes. It is done here, because a dry run cannot go on to a drill,
stops at the first thing that an operation refuses, and says which operations would change something, not what
they found.
"""

from collections.abc import Callable, Iterator

from pyinfra.api.command import FileUploadCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.host import Host
from pyinfra.api.state import StateOperationHostData
from pyinfra.facts.files import File

from deploys.operations.reasons import Heard, listening
from deploys.steps import everything, preflight
from deploys.steps.preflight import Target
from deploys.steps.verdicts import Verdict

#: The name of an operation with what pyinfra needs to evaluate it.
Declared = tuple[str, StateOperationHostData]


def compare(host: Host, target: Target, verdict: Verdict) -> None:
    """Put into the verdict what setup would change, and why it would refuse to."""
    verdict.problems += preflight.problems(target)
    if not preflight.content_problem(target):
        for line in differences(host, lambda: everything.declare(target)):
            # One by one: what was found stays when the host stops answering.
            verdict.drift.append(line)


def differences(host: Host, declare: Callable[[], None]) -> Iterator[str]:
    """A line for each thing that would be changed by what `declare` declares; itself it asks nothing.

    Raises PyinfraError when the host stops answering.
    """
    for name, operation in declared(host, declare):
        if operation.global_arguments.get("_if"):
            # It follows another one's change: that one is named.
            continue
        for reason in _reasons(host, operation):
            yield f"{name}: {reason}"


def declared(host: Host, declare: Callable[[], None]) -> list[Declared]:
    """The operations that `declare` declares, taken out of pyinfra's list of what is to be run."""
    state = host.state
    first, checks = len(host.op_hash_order), state.check_for_changes
    # Without it pyinfra would evaluate each operation at once, and stop where one of them refuses. No other
    # host's work comes in between: nothing is asked here.
    state.check_for_changes = False
    found = []
    try:
        declare()
    finally:
        state.check_for_changes = checks
        hashes = host.op_hash_order[first:]
        del host.op_hash_order[first:]
        count = state.get_meta_for_host(host)
        count.ops -= len(hashes)
        count.ops_no_change -= len(hashes)
        for hash_ in hashes:
            meta, operation = state.op_meta.pop(hash_, None), state.ops[host].pop(hash_, None)
            if meta and operation:
                found.append((", ".join(sorted(meta.names)), operation))
    return found


def _reasons(host: Host, operation: StateOperationHostData) -> list[str]:
    commands = operation.command_generator()
    with listening() as heard:
        try:
            first = next(commands, None)
        except OperationError as error:
            return [str(error).removeprefix(f"{host.name}: ")]
        finally:
            commands.close()  # type: ignore[attr-defined]
    return _told(host, first, heard)


def _told(host: Host, first: PyinfraCommand | None, heard: Heard) -> list[str]:
    if first is None or heard.waits:
        return []
    if heard.reasons:
        return heard.reasons
    # One of pyinfra's own operations; none of them is given a secret.
    if isinstance(first, FileUploadCommand):
        there = host.get_fact(File, path=first.dest)
        return [f"{first.dest} {'is not as declared' if there else 'is missing'}"]
    return [f"setup would run: {first}"]
