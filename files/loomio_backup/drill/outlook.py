"""If this Pi died now: how much work would be lost, and how soon it would be back. Measured, not promised."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from loomio_backup.config import Config, zone
from loomio_backup.drill.drills import Drill

MEASURED = {"fetch": "download", "database": "database", "files": "files"}
"""The phases of a drill that a recovery has, too, in its order."""


@dataclass(frozen=True)
class Outlook:
    """text: the sentence. lost_seconds: the age of the newest complete backup in Drive, None without one.
    back_seconds: how long the last whole drill from Drive that passed took for what `phases` (seconds) lists,
    measured_at: when that was; None when nothing was measured. Setting up a new Pi is not in it.
    """

    text: str
    lost_seconds: float | None = None
    back_seconds: float | None = None
    measured_at: datetime | None = None
    phases: dict[str, float] = field(default_factory=dict)


def outlook(config: Config, age_seconds: float | None, found: Sequence[Drill]) -> Outlook:
    """`age_seconds`: of the newest complete backup in Drive; `found`: the drills from there, newest first."""
    if config.stores.drive is None:
        return Outlook("If this Pi dies now, its backups die with it: none of them leaves it.")
    if age_seconds is None:
        return Outlook("If this Pi dies now, everything is lost: no backup in Google Drive is complete yet.")
    lost = max(0.0, age_seconds)
    start = (
        f"If this Pi dies now: {_about(lost)} of work lost (so old is the newest complete backup in "
        "Google Drive), "
    )
    drill = next((one for one in found if one.proves), None)
    if drill is None:
        return Outlook(
            f"{start}and how soon it would be back is not known: no whole drill from there has passed yet.",
            lost_seconds=lost,
        )
    phases = {name: drill.phases.get(phase, 0.0) for phase, name in MEASURED.items()}
    back = sum(phases.values())
    day = f"{drill.finished_at.astimezone(zone(config.timezone)):%Y-%m-%d}"
    parts = ", ".join(f"{name} {_about(seconds)}" for name, seconds in phases.items())
    return Outlook(
        f"{start}back in about {_about(back)}: measured by the drill of {day}: {parts} (read and "
        "compared; writing the files and setting up a new Pi are not in it).",
        lost_seconds=lost,
        back_seconds=round(back, 1),
        measured_at=drill.finished_at,
        phases=phases,
    )


def _about(seconds: float) -> str:
    """In the unit that people would use."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"
