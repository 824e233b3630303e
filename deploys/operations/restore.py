"""Run a restore as a unit on the Pi and follow it: it ends with the data back, or with the reason why not."""

import shlex
from collections.abc import Generator, Sequence

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.live_data import LiveDataFact
from deploys.facts.systemd import UnitsFact

from .follow import Words, followed
from .lend import lent, taken_back
from .run import complain, own_arguments

#: How to say that data may be replaced; also what people are told to type.
REPLACE = "--data replace_live_data=yes"
_WORDS = Words(
    what="A restore",
    lost="The restore goes on there by itself, and nothing is in danger. Run the same command again to "
    "follow it.",
    failed="The backups are untouched. Run the same command again when the reason is gone.",
)


@operation()
def restored(
    unit: str,
    project: str,
    database: tuple[str, str],
    options: str,
    wanted: Sequence[str],
    replace: bool,
    finish: bool,
    lent_identity: str,
    identity: str | None,
) -> Generator[PyinfraCommand, None, None]:
    """Bring data back through `unit`; `wanted` are the agent's options that say which and how.
    `database`: its service in the Compose project, and the full name of its volume.

    Fails where it would replace live data, unless `replace` says that it may go, or `finish` that a restore
    which has begun to replace it was interrupted. An active unit is followed, never started twice. `options`
    is the unit's file of options. An `identity` that is not on the Pi is put into the file `lent_identity`,
    which the unit removes when it ends.
    """
    arguments = own_arguments(host)

    def follow(state: State, host: Host) -> bool:
        units = host.get_fact(UnitsFact, units=(unit,), **arguments)
        if unit in units and units[unit].running:
            return followed(host, unit, _WORDS, **arguments)
        live = host.get_fact(
            LiveDataFact, project=project, service=database[0], volume=database[1], **arguments
        )
        if live.state == "unknown":
            return complain(
                host, f"Cannot tell whether this Pi holds data ({live.reason}). Nothing was restored."
            )
        if live.state == "rows" and not replace and not finish:
            return complain(host, live_data_sentence(live.tables))
        if identity is not None and not lent(host, identity, lent_identity, arguments):
            return complain(
                host, f"The key could not be lent to the Pi ({lent_identity}). Nothing was restored."
            )
        words = [*wanted, *(["--replace-live-data"] if replace else [])]
        prepare = f"echo {shlex.quote('RESTORE_OPTIONS=' + ' '.join(words))} > {options}"
        done = followed(host, unit, _WORDS, prepare=prepare, **arguments)
        if identity is not None:
            taken_back(host, lent_identity, arguments)
        return done

    yield FunctionCommand(follow, (), {})


def live_data_sentence(tables: int) -> str:
    """What people read when a recovery would replace data."""
    found = (
        "1 table of its database has rows" if tables == 1 else f"{tables} tables of its database have rows"
    )
    return (
        f"This Pi holds data ({found}). Nothing was restored, and the data is untouched. Is this the right "
        f"Pi? To replace its data with the newest backup, say so: {REPLACE}"
    )
