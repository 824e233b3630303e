"""Python functions as parts of an operation, for which a Pi that is gone is no unexpected error.

A fact that cannot be asked takes the host out of the run and raises. pyinfra shows an exception of a callback
with its whole traceback, after the reason has been told; whoever has just lost power wants the reason only.
"""

from collections.abc import Callable, Generator
from typing import Any

from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.api.util import log_host_command_error

from inventories.unreached import ConnectionLostError


class Callback(FunctionCommand):
    """As pyinfra's, but the operation fails without a traceback when the host failed in the middle of it."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(function, args, kwargs)

    def execute(self, state: State, host: Host, connector_arguments: Any) -> Any:
        """What the function returns; False when what it asked the Pi for could not be had."""
        try:
            return super().execute(state, host, connector_arguments)
        except ConnectionLostError as error:
            log_host_command_error(host, error)
            return False
        except PyinfraError:
            # Anything else that pyinfra refuses is a mistake in a deploy, and shall look like one.
            if host in state.failed_hosts:
                return False
            raise


@operation(is_idempotent=False, _set_in_op=False)
def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Generator[Callback, None, None]:
    """As `pyinfra.operations.python.call`, with our Callback."""
    yield Callback(function, *args, **kwargs)
