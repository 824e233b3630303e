"""Figures on their way out: a line of JSON for each measurement, and the middle of several."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

_RESULTS = "LOOMIO_BENCH_RESULTS"


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(*(round(value, 3) for value in (min(values), median(values), max(values))))

    def __str__(self) -> str:
        return f"{self.least:.2f} / {self.median:.2f} / {self.most:.2f}"


def tell(what: str, figures: Any) -> None:
    """Print the figures (a dataclass), and keep them where LOOMIO_BENCH_RESULTS says."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    line = json.dumps(
        {
            "what": what,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {load}",
            **asdict(figures),
        }
    )
    print(line, flush=True)
    if results := os.environ.get(_RESULTS):
        with Path(results).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
