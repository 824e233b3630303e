"""Which backup to restore: the newest, the one asked for, or what a person picks from the list."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from loomio_backup import clock
from loomio_backup.catalogue import Lineage, Summary
from loomio_backup.errors import RestoreError, StoreError
from loomio_backup.history import History, Reader
from loomio_backup.listing import merged, table
from loomio_backup.progress import say
from loomio_backup.stores import Store


@dataclass(frozen=True)
class Wish:
    """What the command line says."""

    backup: str | None
    newest: bool
    store: str | None
    unattended: bool
    replace_live_data: bool


@dataclass(frozen=True)
class Candidate:
    """A backup and the stores that hold its manifest, in the order in which they are asked for objects."""

    summary: Summary
    stores: list[Store]


def read_histories(stores: Mapping[str, Store], reader: Reader, only: str | None) -> dict[str, History]:
    """What the stores hold. A store that fails is passed over unless it is the last one."""
    if only is not None and only not in stores:
        raise RestoreError(f"no store {only} is configured. Nothing was changed.")
    histories: dict[str, History] = {}
    errors: list[str] = []
    for kind, store in stores.items():
        if only in (None, kind):
            try:
                histories[kind] = reader.read(store)
            except StoreError as error:
                say(f"{kind}: passed over: {error}")
                errors.append(str(error))
    if not histories:
        raise RestoreError(f"no store can be read. Nothing was changed. {' '.join(errors)}")
    for kind, history in histories.items():
        for _, sentence in history.damaged:
            say(f"{kind}: passed over: {sentence}")
        for name in history.foreign:
            say(f"{kind}: passed over: {name}, which no key of this Pi opens")
    return histories


def candidates(wish: Wish, stores: Mapping[str, Store], histories: Mapping[str, History]) -> list[Candidate]:
    """The backups to try, in this order: all of them newest first, or only the chosen one."""
    rows = merged(list(histories.values()))
    if not rows:
        foreign = [name for history in histories.values() for name in history.foreign]
        raise RestoreError(
            f"the key of this Pi opens none of the {len(foreign)} backups in the store. Nothing was changed. "
            "Put the identity that was in use when they were made into encryption.identity and try again."
            if foreign
            else "there is no backup to restore. Nothing was changed."
        )
    found = [Candidate(row.summary, [stores[kind] for kind in row.stores]) for row in rows]
    if wish.newest:
        return found
    if wish.backup is None:
        if wish.unattended:
            raise RestoreError("which backup? Add --newest or --backup NAME. Nothing was changed.")
        print(table(rows, clock.now()), flush=True)
        wanted = _ask("Restore which backup? Its name, or nothing for the newest: ")
    else:
        wanted = wish.backup
    if not wanted:
        return found[:1]
    chosen = [candidate for candidate in found if candidate.summary.name == wanted]
    if not chosen:
        raise RestoreError(f"there is no backup {wanted}. Nothing was changed. See loomio-backup list.")
    return chosen


def confirm(wish: Wish, candidate: Candidate) -> None:
    """Have a person type `yes`, unless nobody is there."""
    if wish.unattended:
        return
    answer = _ask(
        f"Database and files of this Pi will be replaced by {candidate.summary.name}; what is there now "
        "is kept aside. Type yes to go on: "
    )
    if answer != "yes":
        raise RestoreError("nothing was changed: the answer was not yes.")


def next_generation(histories: Mapping[str, History], own: Lineage | None, instance: str) -> int:
    """One more than any generation of this instance that we know of."""
    known = [
        summary.generation
        for history in histories.values()
        for summary in history.backups
        if summary.instance == instance
    ]
    if own is not None and own.instance == instance:
        known.append(own.generation)
    return max(known) + 1


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise RestoreError(
            "a restore asks before it replaces anything, and there is nobody to ask. Nothing was changed. "
            "Add --unattended and --newest or --backup NAME."
        )
    try:
        return input(question).strip()
    except EOFError:
        return ""
