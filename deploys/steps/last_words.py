"""What people shall read last: printed when pyinfra disconnects, after its long table of operations."""

from collections.abc import Callable

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State


class LastWords(BaseStateCallback):
    """Prints the lines that `lines` returns when the host of that name is left, however the deploy ended."""

    def __init__(self, name: str, lines: Callable[[], list[str]]) -> None:
        # Not the host itself: what a deploy file knows as `host` is a different one in every thread of work.
        self.name = name
        self.lines = lines

    def host_disconnect(self, _state: State, host: Host) -> None:  # type: ignore[override]
        if host.name == self.name:
            logger.info("\n" + "\n".join(self.lines()))


def at_the_end(host: Host, lines: Callable[[], list[str]]) -> None:
    """Have `lines` printed when this host is left."""
    host.state.add_callback_handler(LastWords(host.name, lines))  # type: ignore[no-untyped-call]
