"""How long to try again: exponential backoff with jitter, bounded in tries, polite to Retry-After."""

import random
import time
from dataclasses import dataclass

from loomio_backup.stores.drive_errors import unavailable


@dataclass(frozen=True)
class Backoff:
    """How long to be patient: seconds before the first repetition (doubled each time), the longest wait, and
    tries.
    """

    first: float = 1.0
    longest: float = 64.0
    tries: int = 8
    longest_asked: float = 300.0  # of Retry-After


class Patience:
    """Counts failures in a row of `what` ("storing x in Drive"), and gives up with StoreUnavailable."""

    def __init__(self, backoff: Backoff, what: str) -> None:
        self._backoff, self._what, self._failures = backoff, what, 0

    def succeeded(self) -> None:
        """Something went forward: the next failure is the first again."""
        self._failures = 0

    def failed(self, why: str, retry_after: float | None = None) -> None:
        """Wait before the next try, at least `retry_after` seconds; StoreUnavailable after the last."""
        self._failures += 1
        if self._failures >= self._backoff.tries:
            raise unavailable(self._what, why, self._failures)
        wait = min(self._backoff.longest, self._backoff.first * 2 ** (self._failures - 1))
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - only spreads many Pis over time
        if retry_after is not None:
            wait = max(wait, min(retry_after, self._backoff.longest_asked))
        time.sleep(wait)
