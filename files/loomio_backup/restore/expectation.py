"""`check --expect-newer-than`: what a person knows about the newest backup, where no catalogue remembers it.

Whoever can remove objects from a store can make an old backup look like the newest one: every object that is
left is genuine. A Pi's catalogue knows what has been there; a new machine has only what people remember (the
last alert, the last report, the last decision that was made in the group).
"""

from datetime import datetime

from loomio_backup.config import zone
from loomio_backup.moment import placed


def shortened(name: str, snapshot_at: datetime, typed: datetime | None, timezone: str) -> str | None:
    """Why the newest backup of a store, this one, cannot be the newest that was made; None when it can be.
    `typed`: a time that it has to be newer than, of the Pi's time zone where it names none.
    """
    if typed is None:
        return None
    wanted = placed(typed, zone(timezone))
    if snapshot_at > wanted:
        return None
    return (
        f"the newest backup, {name}, is of {snapshot_at:%Y-%m-%d %H:%M:%S} UTC, and one that is newer than "
        f"{wanted:%Y-%m-%d %H:%M:%S} UTC was expected, so newer ones may have been removed from the store. "
        "What is left there is genuine. Look for the newer ones in the other store, in a pulled copy and in "
        "Drive's trash"
    )
