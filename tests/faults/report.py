"""What the series found: kept as one file of JSON per series, rendered as docs/reliability.md.

Every series carries the commit that it ran on, so that running one of them again replaces its part only.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from inventories.settings import ROOT

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "docs" / "reliability"

_HEAD = """\
# Reliability: what was tried to break it

Written by `make faults`, which runs every series below on real parts (PostgreSQL, Docker, systemd, Google's
client library against the lab's Drive). A series whose claim does not hold is not written. One of them runs
again with `make faults ARGS="--series NAME"`; `make test` runs a short sample of each with the same code.

| series | result | commit | when (UTC) | took | machine |
| --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Table:
    """One table of figures; every row has as many cells as there are columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


@dataclass
class Outcome:
    """One series: what it claims (as a sentence that its success makes true), and its figures."""

    name: str
    claim: str
    tables: list[Table]
    seconds: float
    order: int
    commit: str = ""
    finished_at: str = ""
    machine: str = ""


def commit() -> str:
    """The commit that is checked out, with a `+` when there are changes that it does not have."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs") else "")


def machine() -> str:
    """What it ran on, as far as it matters for the figures."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.machine()}, Python {platform.python_version()}"
    )


def keep(outcome: Outcome, tried: str) -> None:
    """Write one series' result. `tried` is the commit at its start."""
    outcome.commit = tried
    outcome.machine = machine()
    outcome.finished_at = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(outcome), indent=1, ensure_ascii=False)
    (RESULTS / f"{outcome.name}.json").write_text(text + "\n", encoding="utf-8")


def write_page() -> None:
    """Write the page anew, from all results."""
    PAGE.write_text(render(_kept(RESULTS)), encoding="utf-8")


def render(outcomes: Sequence[Outcome]) -> str:
    """The page."""
    summary = "".join(
        f"| [{one.name}](#{one.name}) | held | `{one.commit}` | {one.finished_at} | {_duration(one.seconds)} "
        f"| {one.machine} |\n"
        for one in outcomes
    )
    return _HEAD + summary + "".join(_section(one) for one in outcomes)


def _section(outcome: Outcome) -> str:
    parts = [f"\n## {outcome.name}\n\n{outcome.claim}\n"]
    for table in outcome.tables:
        if table.note:
            parts.append(f"\n{table.note}\n")
        parts.append("\n| " + " | ".join(table.columns) + " |\n")
        parts.append("| " + " | ".join("---" for _ in table.columns) + " |\n")
        parts += ["| " + " | ".join(str(cell) for cell in row) + " |\n" for row in table.rows]
    return "".join(parts)


def _kept(directory: Path) -> list[Outcome]:
    outcomes = []
    for path in directory.glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        document["tables"] = [Table(**table) for table in document["tables"]]
        outcomes.append(Outcome(**document))
    return sorted(outcomes, key=lambda outcome: (outcome.order, outcome.name))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
