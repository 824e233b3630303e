"""What a drill found: the figures, drill/report.json, and the summary that a person reads."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Report:
    """Filled as the drill goes on. Times are seconds, sizes bytes; `ok` is decided at the very end."""

    os: str
    sudo_password: bool
    seed: int
    db_mb: int
    files_mb: int
    ok: bool = False
    total_seconds: float = 0
    setup_seconds: float = 0
    second_setup_seconds: float = 0
    second_setup_changes: int = -1
    labelled_seconds: float = 0
    labelled_bytes: int = 0
    backup_seconds: float = 0
    backup_bytes: int = 0
    backup_objects: int = 0
    data_loss_seconds: float = -1
    rows_lost: int = -1
    recovery_seconds: float = 0
    tables: int = 0
    rows: int = 0
    rows_differing: int = -1
    files: int = 0
    files_differing: int = -1
    attachments: int = 0
    attachments_broken: int = -1
    ledger_entries: int = 0
    ledger_differing: int = -1
    env_differing: int = -1
    objects_differing: int = -1
    web_status: int = 0
    status_says: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    phases: list[dict[str, str | float]] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str, said: str) -> Iterator[None]:
        """Time a part of the drill and say so on the terminal before and after."""
        started = time.monotonic()
        print(f"▶ {said}", flush=True)
        yield
        seconds = time.monotonic() - started
        self.phases.append({"name": name, "seconds": round(seconds, 1)})
        print(f"  done in {_span(seconds)}", flush=True)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")

    def summary(self) -> str:
        """The whole drill on one screen."""
        lines = [
            "",
            "  The rehearsal of a whole life " + ("came back complete." if self.ok else "FOUND DIFFERENCES."),
            "",
            _row("The Pi", f"{self.os}, sudo {'with' if self.sudo_password else 'without'} a password"),
            _row("Set up", f"{_span(self.setup_seconds)}; again: {_changes(self.second_setup_changes)}"),
            _row(
                "Backed up",
                f"all of it in {_span(self.labelled_seconds)}, {_size(self.labelled_bytes)} in Drive; again "
                f"in {_span(self.backup_seconds)} while people were writing, {_size(self.backup_bytes)} more "
                f"({self.backup_objects} encrypted objects)",
            ),
            _row(
                "Destroyed", f"{_span(self.data_loss_seconds)} of work lost ({self.rows_lost} ledger entries)"
            ),
            _row("Recovered", f"{_span(self.recovery_seconds)}, from the command to a running Loomio"),
            _row("Database", f"{self.rows:,} rows in {self.tables} tables: {_differ(self.rows_differing)}"),
            _row("Files", f"{self.files:,} files: {_differ(self.files_differing)}"),
            _row("Attachments", f"{self.attachments:,} attachments: {_broken(self.attachments_broken)}"),
            _row("Ledger", f"{self.ledger_entries:,} entries: {_differ(self.ledger_differing)}"),
            _row("Settings", f"application keys in .env: {_differ(self.env_differing)}"),
            _row("Web", f"answers {self.web_status}"),
            *(_row("Status", said) for said in self.status_says),
            _row("In all", _span(self.total_seconds)),
            "",
        ]
        if self.problems:
            lines += ["  What is wrong:", *(f"    ✗ {problem}" for problem in self.problems), ""]
        return "\n".join(lines)


def _row(name: str, text: str) -> str:
    return f"  {name:<12} {text}"


def _span(seconds: float) -> str:
    if seconds < 0:
        return "unknown"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _changes(count: int) -> str:
    return "nothing changed" if count == 0 else f"{count} CHANGES" if count > 0 else "unknown"


def _differ(count: int) -> str:
    return "all equal" if count == 0 else f"{count:,} DIFFER" if count > 0 else "not compared"


def _broken(count: int) -> str:
    return "all resolve" if count == 0 else f"{count:,} BROKEN" if count > 0 else "not compared"
