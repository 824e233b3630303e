"""Cheap random values for one table's rows.

Only Random.random and Random.randbytes are used, directly or not: they are the parts of the module whose
results Python promises not to change. Everything is already in COPY's text form, because escaping per row
would cost most of the time.
"""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

from . import render
from .words import AWKWARD, SCRIPTS, all_words

_FIRST_DAY = date(2012, 10, 1)
_DAYS = [(_FIRST_DAY + timedelta(days=n)).isoformat() for n in range(5100)]
_MINUTES = [f"{n // 60:02}:{n % 60:02}" for n in range(1440)]
# Whole seconds, tenths, milliseconds and microseconds: each loses its trailing zeros differently.
_SECONDS = [
    render.second(n % 60, (0, 500_000, n * 1000, n * 997 % 1_000_000, n)[n % 5] % 1_000_000)
    for n in range(4096)
]
_REMARKABLE_MOMENTS = (
    "infinity",
    "-infinity",
    "1969-12-31 23:59:59.999999",
    "0044-03-15 12:00:00 BC",
    "9999-12-31 00:00:00",
)

WORDS = all_words()


class Draw:
    """Values for one purpose. The same seed and name give the same values in the same order."""

    def __init__(self, seed: int, name: str) -> None:
        source = random.Random(f"{seed} {name}")
        self.random = source.random
        self.bytes = source.randbytes
        self._sentences = sentences(seed)

    def below(self, limit: int) -> int:
        return int(self.random() * limit)

    def pick(self, values: Sequence[str]) -> str:
        return values[int(self.random() * len(values))]

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def flag(self, probability: float) -> str:
        return "t" if self.random() < probability else "f"

    def nullable(self, probability: float, value: str) -> str:
        """NULL with this probability."""
        return render.NULL if self.random() < probability else value

    def token(self, length: int = 12) -> str:
        """Lower-case hexadecimal, twice as many digits as `length`."""
        return self.bytes(length).hex()

    def uuid(self) -> str:
        return render.uuid(self.bytes(16))

    def day(self) -> str:
        return _DAYS[int(self.random() * 5100)]

    def moment(self) -> str:
        number = self.random
        return (
            f"{_DAYS[int(number() * 5100)]} {_MINUTES[int(number() * 1440)]}:{_SECONDS[int(number() * 4096)]}"
        )

    def nullable_moment(self, probability: float) -> str:
        """NULL with this probability; now and then a moment that few programs expect."""
        value = self.random()
        if value < probability:
            return render.NULL
        if value > 0.999:
            return self.pick(_REMARKABLE_MOMENTS)
        return self.moment()

    def sentence(self) -> str:
        return self._sentences[int(self.random() * len(self._sentences))]

    def text(self, most: int) -> str:
        """1 to `most` sentences."""
        pool, number = self._sentences, self.random
        size = len(pool)
        return " ".join([pool[int(number() * size)] for _ in range(1 + int(number() * most))])

    def raw_sentence(self) -> str:
        """A sentence that is not escaped yet, to be put into a JSON or hstore value."""
        return _raw_sentences()[int(self.random() * 512)]

    def title(self) -> str:
        """At most 200 characters, as varchar(255) columns want them."""
        raw = self.raw_sentence()[:200]
        return render.text(raw)


@lru_cache(maxsize=2)
def sentences(seed: int) -> list[str]:
    """A few thousand escaped sentences; each keeps to one script, as people do, some are awkward."""
    return [render.text(_sentence(random.Random(f"{seed} sentence {n}"))) for n in range(3000)]


@lru_cache(maxsize=1)
def _raw_sentences() -> list[str]:
    return [_sentence(random.Random(f"raw sentence {n}")) for n in range(512)]


def _sentence(source: random.Random) -> str:
    number = source.random
    if number() < 0.04:
        return AWKWARD[int(number() * len(AWKWARD))]
    script = list(SCRIPTS.values())[int(number() * len(SCRIPTS))] if number() < 0.4 else SCRIPTS["en"]
    words = script.split()
    chosen = [words[int(number() * len(words))] for _ in range(4 + int(number() * 14))]
    # A number that occurs nowhere else keeps the text from being more compressible than what people write.
    chosen.append(source.randbytes(5).hex())
    return " ".join(chosen) + "."
