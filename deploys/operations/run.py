"""Small tools that the operations share: run something now with the operation's own privileges, wait, and
fail clearly.
"""

import time
from collections.abc import Callable
from typing import Any

from pyinfra import logger
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.connectors.util import CommandOutput


def own_arguments(host: Host) -> dict[str, Any]:
    """The privileges of the operation that is being prepared or run: `host.run_shell_command` inherits
    nothing.
    """
    found: dict[str, Any] = dict(host.current_op_global_arguments or {})
    return {key: value for key, value in found.items() if key in CONNECTOR_ARGUMENT_KEYS}


def ask(host: Host, script: str, *, stdin: str | None = None, **arguments: Any) -> tuple[bool, CommandOutput]:
    """Run a read-only script; shown as pyinfra shows its own facts, without its standard input."""
    if stdin is not None:
        arguments["_stdin"] = stdin
    return host.run_shell_command(
        StringCommand(script),
        print_output=host.state.print_fact_output,
        print_input=host.state.print_fact_input,
        **arguments,
    )


def complain(host: Host, sentence: str) -> bool:
    """Show a sentence as this host's error; the False makes the operation fail."""
    logger.error(f"{host.print_prefix}{sentence}")
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float = 2) -> bool:
    """Poll until the condition holds; False when it did not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
