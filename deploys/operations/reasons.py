"""Why an operation would change something, in words, for a deploy that only compares (verify).

An operation says it with `because` just before the first command that it yields. In a deploy that changes
things nobody listens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Heard:
    """What one operation said. `waits`: its commands change nothing, they take time."""

    reasons: list[str] = field(default_factory=list)
    waits: bool = False


# One per greenlet, so that hosts that are compared side by side do not hear each other.
_HEARD: ContextVar[Heard | None] = ContextVar("heard", default=None)


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear what the operation that is evaluated inside says."""
    heard = Heard()
    token = _HEARD.set(heard)
    try:
        yield heard
    finally:
        _HEARD.reset(token)


def listened() -> bool:
    """Whether somebody hears what is said: what is expensive to find out need not be, else."""
    return _HEARD.get() is not None


def because(reason: str) -> None:
    """Say what on the Pi is not as declared: names and paths, never the content of anything secret."""
    if heard := _HEARD.get():
        heard.reasons.append(reason)


def only_waits() -> None:
    """Say that what comes changes nothing."""
    if heard := _HEARD.get():
        heard.waits = True
