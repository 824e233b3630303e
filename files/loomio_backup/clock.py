"""What time it is: the one place that asks, so that tests can mock the clock and nothing else."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment by this Pi's clock, in UTC. Call it as `clock.now()`."""
    return datetime.now(UTC)
