"""Whose backups are in the stores, and may this Pi add to them? Pure decisions; history.py reads the
stores.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loomio_backup.catalogue import Lineage, Summary
from loomio_backup.errors import BackupError
from loomio_backup.manifest import Manifest
from loomio_backup.postgres import BOOKKEEPING

_USERS = "public.users"


@dataclass(frozen=True)
class Found:
    """The manifests that one store holds: those that we can read, and the names of those that no key of
    ours opens.
    """

    store: str
    readable: Sequence[Summary]
    foreign: Sequence[str]


def continued(own: Lineage | None, found: Sequence[Found]) -> Lineage:
    """The lineage that the next backup belongs to.

    Raises BackupError when the stores hold a history that is not ours to continue.
    """
    for store in found:
        _refuse_others(own, store)
    if own is None:
        return Lineage(instance=secrets.token_hex(16), generation=1, sequence=0, previous=None)
    # The stores may know more than we do: a run may have died after its manifest was stored, or the SD card
    # is an older copy of itself.
    ours = [summary for store in found for summary in store.readable if summary.generation == own.generation]
    newest = max(ours, key=lambda summary: summary.order, default=None)
    if newest is None or newest.sequence <= own.sequence:
        return own
    return Lineage(own.instance, own.generation, newest.sequence, newest.name)


def refuse_sudden_emptiness(predecessor: Manifest | None, tables: Mapping[str, int], files: int) -> None:
    """Raise BackupError when what people had in the last backup is gone: all rows, all users or all files.

    `tables` are rows by quoted `schema.table`. Rails' own two tables do not count: an app that makes its
    schema anew fills them, and nothing else.
    """
    if predecessor is None:
        return
    before = predecessor.database.tables
    if _rows(before) and not _rows(tables):
        what = f"the database {predecessor.database.name} is empty"
    elif before.get(_USERS, 0) and not tables.get(_USERS, 0):
        what = f"the database {predecessor.database.name} has no users any more"
    elif predecessor.app_data.files and not files:
        what = "there are no app-data files at all"
    else:
        return
    raise BackupError(
        f"no backup was made: {what}, but {predecessor.name} holds {_rows(before)} rows "
        f"({before.get(_USERS, 0)} users) and {predecessor.app_data.files} files. All earlier backups are "
        f"untouched. If the data was lost, type: loomio-backup restore --backup {predecessor.name}; on a "
        "fresh Pi, run deploys/disaster_recovery.py. If it is a new Loomio, give it another folder in the "
        "settings."
    )


def _rows(tables: Mapping[str, int]) -> int:
    bookkeeping = {f"public.{name}" for name in BOOKKEEPING}
    return sum(rows for table, rows in tables.items() if table not in bookkeeping)


def _refuse_others(own: Lineage | None, found: Found) -> None:
    untouched = "All backups are untouched."
    if own is None and (found.readable or found.foreign):
        raise BackupError(
            f"no backup was made: the store {found.store} already holds backups of a Loomio "
            f"({len(found.readable) + len(found.foreign)}), but this Pi has no history of its own. "
            f"{untouched} If this Pi is to take their place, run deploys/disaster_recovery.py; "
            "if it is a new Loomio, give it another folder in the settings."
        )
    if found.foreign:
        raise BackupError(
            f"no backup was made: the store {found.store} holds backups that this Pi's keys do not open "
            f"({found.foreign[0]}), so another installation writes there. {untouched} "
            "Give each Pi its own folder in the settings."
        )
    if own is None:
        return
    for summary in found.readable:
        if summary.instance != own.instance:
            raise BackupError(
                f"no backup was made: the store {found.store} holds backups of another Loomio "
                f"({summary.name}). {untouched} Give each Pi its own folder in the settings."
            )
        if summary.generation > own.generation:
            raise BackupError(
                f"no backup was made: another Pi has taken over. {summary.name} in the store {found.store} "
                f"is of generation {summary.generation}, this Pi is of generation {own.generation}. "
                f"{untouched} Switch this Pi off; to put it in charge again, run "
                "deploys/disaster_recovery.py for it."
            )
