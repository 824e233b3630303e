"""Whose backups are in the stores, and may this Pi add to them? Pure decisions; history.py reads the
stores.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loomio_backup.catalogue.catalogue import Lineage, Summary
from loomio_backup.catalogue.manifest import Manifest, SourceContent
from loomio_backup.database.postgres import is_bookkeeping
from loomio_backup.errors import BackupError

_USERS = "public.users"
_UNTOUCHED = "All backups are untouched."


@dataclass(frozen=True)
class Found:
    """The manifests that one store holds: those that we can read (our signing key made them), and the names
    of those that no key of ours opens, and of those that are damaged or that another key signed.
    """

    store: str
    readable: Sequence[Summary]
    foreign: Sequence[str]
    damaged: Sequence[str] = ()


def is_lost(own: Lineage | None, found: Sequence[Found]) -> bool:
    """Whether the stores know backups of ours and we do not: the catalogue was lost, or the Pi is a new
    one.
    """
    return own is None and any(store.readable for store in found)


def continued(own: Lineage | None, found: Sequence[Found], live_data: bool) -> Lineage:
    """The lineage that the next backup belongs to. `live_data`: the database holds people's rows; it is only
    looked at when `is_lost`.

    Raises BackupError when the stores hold a history that is not ours to continue.
    """
    if own is None:
        return _begun(found, live_data)
    for store in found:
        _refuse_others(own, store)
    # The stores may know more than we do: a run may have died after its manifest was stored, or the SD card
    # is an older copy of itself.
    ours = [summary for store in found for summary in store.readable if summary.generation == own.generation]
    newest = max(ours, key=lambda summary: summary.order, default=None)
    if newest is None or newest.sequence <= own.sequence:
        return own
    return Lineage(own.instance, own.generation, newest.sequence, newest.name)


def _begun(found: Sequence[Found], live_data: bool) -> Lineage:
    """The lineage of a Pi that knows of none. With data in its database it is the Pi that made the backups
    (or one that was restored by hand), and lost its catalogue: it goes on as a new generation. Without data
    it is a new Pi, whose backups would bury the good ones.
    """
    readable = [summary for store in found for summary in store.readable]
    for store in found:
        if store.foreign or (store.damaged and not readable):
            opened = "do not open" if store.foreign else "did not sign, or that are damaged"
            raise BackupError(
                f"no backup was made: the store {store.store} holds backups that this Pi's keys {opened} "
                f"({[*store.foreign, *store.damaged][0]}), and this Pi has no history of its own. "
                f"{_UNTOUCHED} If they are backups of this Loomio, put the keys that made them (in the "
                "recovery kit) into the secrets file and run the setup deploy, or on a fresh Pi "
                "deploys/disaster_recovery.py. If it is a new Loomio, give it another folder in the settings."
            )
    if not readable:
        return Lineage(instance=secrets.token_hex(16), generation=1, sequence=0, previous=None)
    newest = max(readable, key=lambda summary: summary.order)
    for summary in readable:
        if summary.instance != newest.instance:
            raise BackupError(
                f"no backup was made: the stores hold backups of several Loomios ({newest.name} and "
                f"{summary.name}), and this Pi has no history of its own that says which is its. "
                f"{_UNTOUCHED} Give each Loomio its own folder in the settings."
            )
    if not live_data:
        raise BackupError(
            f"no backup was made: the database of this Pi is empty, but there are {len(readable)} backups of "
            f"a Loomio in {' and '.join(store.store for store in found if store.readable)} (the newest is "
            f"{newest.name}). {_UNTOUCHED} To bring its data to this Pi, run deploys/disaster_recovery.py; "
            "if it is a new Loomio, give it another folder in the settings."
        )
    return Lineage(newest.instance, newest.generation + 1, 0, newest.name)


def strangers(own: Lineage | None, backups: Sequence[Summary]) -> list[Summary]:
    """The backups of another Loomio: not of our instance, or (where we have no history of our own) all of
    them when they are of several.
    """
    if own is not None:
        return [summary for summary in backups if summary.instance != own.instance]
    return list(backups) if len({summary.instance for summary in backups}) > 1 else []


def refuse_sudden_emptiness(predecessor: Manifest | None, tables: Mapping[str, int]) -> None:
    """Raise BackupError when what people had in the last backup is gone: all rows, or all users.

    `tables` are rows by quoted `schema.table`. Rails' own tables do not count: an app that makes its schema
    anew fills them, and nothing else.
    """
    if predecessor is None:
        return
    before = predecessor.database.tables
    if _rows(before) and not _rows(tables):
        what = f"the database {predecessor.database.name} is empty"
    elif before.get(_USERS, 0) and not tables.get(_USERS, 0):
        what = f"the database {predecessor.database.name} has no users any more"
    else:
        return
    raise BackupError(
        f"no backup was made: {what}, but {predecessor.name} holds {_rows(before)} rows "
        f"({before.get(_USERS, 0)} users) and {predecessor.app_data.files} files. All earlier backups are "
        f"untouched. If the data was lost, type: loomio-backup restore --backup {predecessor.name}; on a "
        "fresh Pi, run deploys/disaster_recovery.py. If it is a new Loomio, give it another folder in the "
        "settings."
    )


def refuse_empty_sources(predecessor: Manifest | None, sources: Mapping[str, SourceContent]) -> None:
    """Raise BackupError when a source has no files at all, and had some in the last backup. `sources`: what
    the configured ones hold now, by their names.
    """
    if predecessor is None:
        return
    before = predecessor.app_data
    counts = {name: content.files for name, content in before.by_source.items()}
    emptied = [name for name, content in sources.items() if counts.get(name) and not content.files]
    if not emptied and before.files and sources and not any(found.files for found in sources.values()):
        emptied = sorted(sources)
    if emptied:
        files = sum(counts.get(name, 0) for name in emptied) or before.files
        raise BackupError(
            f"no backup was made: there are no files at all in {' and '.join(emptied)} (app-data), but "
            f"{predecessor.name} holds {files} there. All earlier backups are untouched. Is a disk or volume "
            "not mounted? Mount it, then type: loomio-backup run. If the files were lost, type: "
            f"loomio-backup restore --backup {predecessor.name}. If it is right that there are none, put any "
            "file there (an empty one will do) and run it again."
        )


def _rows(tables: Mapping[str, int]) -> int:
    return sum(rows for table, rows in tables.items() if not is_bookkeeping(table))


def _refuse_others(own: Lineage, found: Found) -> None:
    if found.foreign:
        raise BackupError(
            f"no backup was made: the store {found.store} holds backups that this Pi's keys do not open "
            f"({found.foreign[0]}), so another installation writes there. {_UNTOUCHED} "
            "Give each Pi its own folder in the settings."
        )
    for summary in found.readable:
        if summary.instance != own.instance:
            raise BackupError(
                f"no backup was made: the store {found.store} holds backups of another Loomio "
                f"({summary.name}). {_UNTOUCHED} Give each Pi its own folder in the settings."
            )
        if summary.generation > own.generation:
            raise BackupError(
                f"no backup was made: another Pi has taken over. {summary.name} in the store {found.store} "
                f"is of generation {summary.generation}, this Pi is of generation {own.generation}. "
                f"{_UNTOUCHED} Switch this Pi off; to put it in charge again, run "
                "deploys/disaster_recovery.py for it."
            )
