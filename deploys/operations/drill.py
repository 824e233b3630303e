"""Run a drill as a unit on the Pi, follow it, and bring back what the agent keeps of it."""

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.agent import DrillFact
from deploys.facts.machine import ClockFact
from deploys.facts.systemd import UnitsFact

from .follow import Words, followed
from .lend import lent
from .run import complain, own_arguments

_WORDS = Words(
    what="A drill",
    lost="The drill goes on there by itself. Run the same command again to follow it.",
    failed="Nothing live was touched, and the backups are as they were.",
)
#: Takes what is wrong (None: nothing) and the agent's own record of the drill (None: it left none).
Ended = Callable[[str | None, dict[str, Any] | None], None]


@operation()
def drilled(
    unit: str, store: str, lent_identity: str, identity: str | None, ended: Ended
) -> Generator[PyinfraCommand, None, None]:
    """Restore the newest backup in `store` for proof, through `unit`, and tell `ended` what came of it.

    Fails unless the drill passes. An active unit is followed, never started twice. An `identity` that is not
    on the Pi is put into the file `lent_identity`, which the unit removes when it ends.
    """
    arguments = own_arguments(host)

    def follow(state: State, host: Host) -> bool:
        def fail(problem: str, drill: dict[str, Any] | None = None) -> bool:
            ended(problem, drill)
            return complain(host, problem)

        found = host.get_fact(UnitsFact, units=(unit,), **arguments).get(unit)
        if found is None or found.load != "loaded":
            return fail("No drill: this Pi is not set up for drills yet. Run first: loomio-pi deploy setup")
        if identity is not None:
            if found.running:
                # The Pi's own, which has no key: it only looks whether everything is there.
                followed(host, unit, _WORDS, **arguments)
            if not lent(host, identity, lent_identity, arguments):
                return fail(f"No drill: the key could not be lent to the Pi ({lent_identity}).")
        began = host.get_fact(ClockFact, **arguments)
        done = followed(host, unit, _WORDS, **arguments)
        drill = host.get_fact(DrillFact, store=store, **arguments)
        if drill and datetime.fromisoformat(drill["finished_at"]).timestamp() < began:
            # An earlier one: this one came to no result.
            drill = None
        if not done or (drill and not drill.get("passed")):
            problems = "; ".join(str(one).rstrip(".") for one in (drill or {}).get("problems") or [])
            why = f": {problems}" if problems else ""
            return fail(f"The drill failed{why}. More, on the Pi: sudo journalctl -u {unit}", drill)
        if drill is None:
            return fail(f"The drill left no result. Look, on the Pi: sudo journalctl -u {unit}")
        ended(None, drill)
        return True

    yield FunctionCommand(follow, (), {})
