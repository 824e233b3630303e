"""Run a drill as a unit on the Pi, follow it, and bring back what the agent keeps of it."""

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.agent import StatusFact
from deploys.facts.machine import ClockFact
from deploys.facts.systemd import UnitsFact

from .callback import Callback
from .follow import Words, followed
from .lend import lent, taken_back
from .run import complain, own_arguments

_WORDS = Words(
    what="A drill",
    lost="The drill goes on there by itself. Run the same command again to follow it.",
    failed="Nothing live was touched, and the backups are as they were.",
)
#: Takes what is wrong (None: nothing), the agent's own record of the drill (None: it left none), and its word
#: on what would become of it if this Pi died now.
Ended = Callable[[str | None, dict[str, Any] | None, str | None], None]


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
        def fail(problem: str, drill: dict[str, Any] | None = None, outlook: str | None = None) -> bool:
            ended(problem, drill, outlook)
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
        if identity is not None:
            taken_back(host, lent_identity, arguments)
        status = host.get_fact(StatusFact, **{**arguments, "_ignore_errors": True})
        drill, outlook = _kept(status, store, began)
        if not done or (drill and not drill["passed"]):
            return fail(f"{_sentence(drill)} More, on the Pi: sudo journalctl -u {unit}", drill, outlook)
        if drill is None:
            return fail(f"The drill left no result. Look, on the Pi: sudo journalctl -u {unit}")
        ended(None, drill, outlook)
        return True

    yield Callback(follow)


def _kept(status: dict[str, Any] | None, store: str, began: int) -> tuple[dict[str, Any] | None, str | None]:
    """The newest drill from `store` that ended after `began`, and the agent's outlook."""
    document = status or {}
    outlook = (document.get("outlook") or {}).get("text")
    for one in document.get("stores") or []:
        drill: dict[str, Any] | None = (one.get("drills") or {}).get("last")
        if one.get("store") == store and drill:
            ended_at = datetime.fromisoformat(drill["finished_at"]).timestamp()
            # An earlier one is not what was asked for: this one came to no result.
            return (drill if ended_at >= began else None), outlook
    return None, outlook


def _sentence(drill: dict[str, Any] | None) -> str:
    if drill is None:
        return "The drill came to no result; the lines above say why."
    if drill["passed"]:
        return f"{drill['backup']} came back, but the agent found other faults."
    return f"The drill failed: {'; '.join(str(one).rstrip('.') for one in drill['problems'])}."
