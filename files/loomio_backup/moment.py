"""Moments as people type them: a day, a day and a time, or a whole timestamp."""

import argparse
from datetime import UTC, datetime, tzinfo


def typed(text: str) -> datetime:
    """A type for argparse: `2026-11-22`, `2026-11-22 14:30` or `2026-11-22T14:30:00+01:00`; without an offset
    it has no zone yet (see `placed`).
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2026-11-22 or '2026-11-22 14:30'"
        ) from None


def placed(moment: datetime, zone: tzinfo) -> datetime:
    """The moment in UTC; one without an offset is meant in `zone`."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
