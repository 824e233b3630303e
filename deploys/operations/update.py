"""Run an update as a unit on the Pi and follow it: it ends with the new version, or with the old one on the
data of when the writers stopped.
"""

import shlex
from collections.abc import Generator, Sequence

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.systemd import UnitsFact

from .callback import Callback
from .follow import Words, followed
from .lend import lent, taken_back
from .reasons import because
from .run import complain, own_arguments

_WORDS = Words(
    what="An update",
    lost="The update goes on there by itself, forward or back. Run the same command again to follow it.",
    failed="Nothing is lost.",
)


@operation()
def updated(
    unit: str,
    options: str,
    wanted: Sequence[str],
    differences: Sequence[str],
    lent_identity: str,
    identity: str | None,
) -> Generator[PyinfraCommand, None, None]:
    """Bring the images that `wanted` (the agent's options) names onto the Pi through `unit`.

    `differences`: what would become what; nothing is done where there are none and the unit does not run. An
    active unit is followed, never started twice. `options` is the unit's file of options. An `identity` that
    is not on the Pi is put into the file `lent_identity`, which the unit removes when it ends.
    """
    arguments = own_arguments(host)
    found = host.get_fact(UnitsFact, units=(unit,)).get(unit)
    running = found is not None and found.running
    if not differences and not running:
        host.noop("the images that the settings name run already")
        return
    for difference in differences:
        because(difference)

    def follow(state: State, host: Host) -> bool:
        units = host.get_fact(UnitsFact, units=(unit,), **arguments)
        if unit in units and units[unit].running:
            return followed(host, unit, _WORDS, **arguments)
        if identity is not None and not lent(host, identity, lent_identity, arguments):
            return complain(
                host, f"The key could not be lent to the Pi ({lent_identity}). Nothing was updated."
            )
        prepare = f"echo {shlex.quote('UPDATE_OPTIONS=' + ' '.join(wanted))} > {options}"
        done = followed(host, unit, _WORDS, prepare=prepare, **arguments)
        if identity is not None:
            taken_back(host, lent_identity, arguments)
        return done

    yield Callback(follow)
