"""Whose backups are in the stores, and may this Pi add to them? Pure decisions; history.py reads the
stores.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from loomio_backup.catalogue import Lineage, Summary
from loomio_backup.errors import BackupError
from loomio_backup.manifest import Manifest


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


def refuse_sudden_emptiness(predecessor: Manifest | None, rows: int, files: int) -> None:
    """Raise BackupError when a source that had data in the last backup has none at all now."""
    if predecessor is None:
        return
    if predecessor.database.rows and not rows:
        what = f"the database {predecessor.database.name} is empty"
    elif predecessor.app_data.files and not files:
        what = "there are no app-data files at all"
    else:
        return
    raise BackupError(
        f"no backup was made: {what}, but {predecessor.name} holds {predecessor.database.rows} rows and "
        f"{predecessor.app_data.files} files. All earlier backups are untouched. If the data was lost, "
        "run loomio-backup restore; on a fresh Pi, deploys/disaster_recovery.py."
    )


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
