"""Run a restore as a unit on the Pi and follow it: it ends with the data back, or with the reason why not."""

import dataclasses
import secrets
import shlex
from collections.abc import Generator, Sequence
from pathlib import PurePosixPath

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.agent import RestoreAskedFact, RestoreStateFact
from deploys.facts.live_data import LiveDataFact
from deploys.facts.systemd import UnitsFact

from .callback import Callback
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
_PUT_OFF = (
    "Until then {timer} is off, so that nothing is backed up that was not verified. To have it on without "
    "that, type on the Pi: sudo systemctl enable --now {timer}"
)
_ENDED_UNSEEN = (
    "This restore was asked for before, and its data is in place by now: it is not done again. Going on from "
    "there."
)


@dataclasses.dataclass(frozen=True)
class Files:
    """Where the Pi has it written down. `options`: the unit's options; `asked`: what was asked for, until the
    operator has read how it ended; `journal` and `result`: the agent's.
    """

    options: str
    asked: str
    journal: str
    result: str


@operation()
def restored(
    unit: str,
    project: str,
    database: tuple[str, str],
    files: Files,
    wanted: Sequence[str],
    replace: bool,
    finish: bool,
    lent_identity: str,
    identity: str | None,
    put_off: str | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """Bring data back through `unit`; `wanted` are the agent's options that say which and how.
    `database`: its service in the Compose project, and the full name of its volume.

    Fails where it would replace live data, unless `replace` says that it may go, or `finish` that a restore
    which has begun to replace it was interrupted. An active unit is followed, never started twice; what was
    asked for in the same words, and ended before anybody had read how, is not repeated: a second one would
    leave `undo` nothing but what the first brought. An `identity` that is not on the Pi is put into the file
    `lent_identity`, which the unit removes when it ends. The timer `put_off` is disabled as soon as data
    is to be replaced; who asked for the restore enables it again.
    """
    arguments = own_arguments(host)

    def follow(state: State, host: Host) -> bool:
        units = host.get_fact(UnitsFact, units=(unit,), **arguments)
        if unit in units and units[unit].running:
            return followed(host, unit, _WORDS, **arguments)
        words = " ".join(options_of(wanted, replace))
        asked = host.get_fact(RestoreAskedFact, path=files.asked, **arguments)
        state_ = host.get_fact(RestoreStateFact, journal=files.journal, result=files.result, **arguments)
        if asked is not None and asked.ended(words, state_):
            logger.info(f"{host.print_prefix}{_ENDED_UNSEEN}")
            return True
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
        # A second attempt at the same keeps its name: the first may have begun what this one finishes.
        id_ = asked.id if asked is not None and asked.options == words else secrets.token_hex(8)
        prepare, told = _prepare_script(files, id_, words), _WORDS
        if put_off is not None and replace:
            prepare = f"systemctl --quiet disable --now {shlex.quote(put_off)} && {prepare}"
            told = dataclasses.replace(_WORDS, failed=f"{_WORDS.failed} {_PUT_OFF.format(timer=put_off)}")
        done = followed(host, unit, told, prepare=prepare, **arguments)
        if identity is not None:
            taken_back(host, lent_identity, arguments)
        return done

    yield Callback(follow)


def options_of(wanted: Sequence[str], replace: bool) -> list[str]:
    """The agent's options for a restore, but the name of the wish."""
    return [*wanted, *(["--replace-live-data"] if replace else [])]


def _prepare_script(files: Files, id_: str, words: str) -> str:
    """Write down what is asked for, so that it outlives a power cut, and then the unit's options."""
    folder, asked = PurePosixPath(files.asked).parent, files.asked
    return (
        f"mkdir -p {folder} && echo {shlex.quote(f'{id_} {words}')} > {asked}.new && sync {asked}.new && "
        f"mv -f {asked}.new {asked} && "
        f"echo {shlex.quote(f'RESTORE_OPTIONS={words} --wish {id_}')} > {files.options}"
    )


def live_data_sentence(tables: int, recovered: str | None = None) -> str:
    """What people read when a recovery would replace data; `recovered`: the backup that it came out of."""
    found = (
        "1 table of its database has rows" if tables == 1 else f"{tables} tables of its database have rows"
    )
    # To whoever has not seen the end of a recovery, because their own machine gave up before it.
    over = (
        f"It came back from {recovered}, and its backups are on. Nothing is left for a recovery to do. "
        if recovered
        else ""
    )
    return (
        f"This Pi holds data ({found}). Nothing was restored, and the data is untouched. {over}Is this the "
        f"right Pi? To replace its data with what is in the backup, say so: {REPLACE}"
    )
