"""Make a backup now, through the unit that the timer starts, and follow it to its end."""

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.systemd import UnitsFact

from .callback import Callback
from .follow import Words, followed
from .run import complain, own_arguments

_WORDS = Words(
    what="A backup",
    lost="The backup goes on there by itself. Run the same command again to follow it.",
    failed="All earlier backups are untouched.",
)


@operation()
def backed_up(unit: str) -> Generator[PyinfraCommand, None, None]:
    """Run `unit` and follow it; where it runs already, only follow. Fails unless the backup is complete in
    every store.
    """
    arguments = own_arguments(host)

    def follow(state: State, host: Host) -> bool:
        found = host.get_fact(UnitsFact, units=(unit,), **arguments).get(unit)
        if found is None or found.load != "loaded":
            return complain(
                host,
                "No backup was made: this Pi is not set up for it yet. Run first: loomio-pi deploy setup",
            )
        return followed(host, unit, _WORDS, **arguments)

    yield Callback(follow)
