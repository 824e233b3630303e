"""How far an update came: written before each step, so that whatever ends it (a failure, a power cut), it is
known what leads back.

`rehearsing`: nothing live was touched. `stopping`: the writers go, and what they wrote is backed up; the data
is as it was. `copying`: the originals are put aside, the old version would still run on them. `changing`: the
new version works on the copy, and nobody can reach it. `reverting`: on the way back. `starting`: the new
version proved itself on the live data, and people are let in: from here there is only forward. `done`, `back`
(all is as it was when the writers stopped), `left` (it ended before it touched anything).
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from loomio_backup import clock
from loomio_backup.errors import UpdateError
from loomio_backup.restore.restore_journal import Root, time_of
from loomio_backup.state import StateDirectory, write_private

MARKER = "update-unsettled"
"""A file beside the journal, there while an update is not at its end; systemd's path unit knows its name."""
RESULT = "update-result.json"
"""The report of the last update that touched anything; the deploys know it by this name."""
_JOURNAL = "update-journal.json"
Step = Literal[
    "rehearsing", "stopping", "copying", "changing", "reverting", "starting", "done", "back", "left"
]
ENDED: tuple[Step, ...] = ("done", "back", "left")
LEADS_BACK: tuple[Step, ...] = ("copying", "changing", "reverting")
"""The states in which what is live may be half of the new version's."""


class Cluster(BaseModel):
    """A PostgreSQL of another major version. `live`: the directory of the volume that it lives in; `new`: a
    volume in which the new one was made; `old`: the one that keeps the old one's files; `dress`: owner and
    mode of the directory when the old one lived there. `moved`: which way files were last begun to be moved.
    """

    live: Path
    dress: Root
    new: str
    old: str
    moved: Literal["nothing", "out", "in"] = "nothing"


class Journal(BaseModel):
    """One update. `before`, `after`: the variables of `.env` that name images (None: absent). `writers`: the
    services whose containers it removed. `backup`: of the moment when the writers stopped. `original`: the
    name that keeps the database as it was then; `linked`: the directories of `roots` that keep the files are
    whole. `problem`: why it was not made. Times are UTC, `phases` seconds.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    state: Step
    started_at: AwareDatetime
    stopped_at: AwareDatetime | None = None
    running_at: AwareDatetime | None = None
    before: dict[str, str | None]
    after: dict[str, str | None]
    writers: list[str] = []
    rehearsal: str = ""
    backup: str | None = None
    live: str
    original: str
    roots: dict[str, Path] = {}
    dress: dict[str, Root] = {}
    linked: bool = False
    cluster: Cluster | None = None
    compared: list[str] = []
    problem: str | None = None
    phases: dict[str, float] = {}

    @property
    def down_seconds(self) -> float | None:
        """How long Loomio could not be reached."""
        if self.stopped_at is None or self.running_at is None:
            return None
        return (self.running_at - self.stopped_at).total_seconds()

    @property
    def changes(self) -> list[str]:
        """What became what."""
        return [
            f"{old or 'what the compose file says'} to {self.after[name]}"
            for name, old in self.before.items()
            if old != self.after[name]
        ]


def load(state: StateDirectory) -> Journal | None:
    """The last update's journal, or None before the first one."""
    path = state.path / _JOURNAL
    try:
        return Journal.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UpdateError(
            f"the journal of the last update, {path}, cannot be read. Nothing was done. If no update was "
            "interrupted, move that file away and try again."
        ) from error


def save(state: StateDirectory, journal: Journal) -> None:
    """Make the journal durable before going on; the marker is there for as long as something is to be
    done.
    """
    marker = state.path / MARKER
    if journal.state not in ENDED and not marker.exists():
        # Its time says since when: settling again and again must not make it younger.
        marker.touch(mode=0o600)
    write_private(state.path / _JOURNAL, json.dumps(journal.model_dump(mode="json"), indent=1) + "\n")
    if journal.state in ENDED:
        marker.unlink(missing_ok=True)


def unsettled_since(state: StateDirectory) -> datetime | None:
    """Since when an update has not been at its end, if it is not."""
    return time_of(state.path / MARKER)


def refuse_unfinished(state: StateDirectory, what: str) -> None:
    """Raise UpdateError while an update has to be brought to its end first; `what` was not done."""
    journal = load(state)
    if journal is not None and (journal.state in LEADS_BACK or journal.state == "starting"):
        raise UpdateError(
            f"{what}: an update was interrupted half-way, and has to be brought to its end first. All "
            "backups are untouched. That happens by itself; or type: loomio-backup settle"
        )


def write_result(state: StateDirectory, journal: Journal) -> None:
    """The report of an update that came to its end. Times in UTC, phases in seconds."""
    document = {
        "outcome": {"done": "updated", "back": "went back", "left": "not made"}[journal.state],
        "problem": journal.problem,
        "changes": journal.changes,
        "started": journal.started_at.isoformat(),
        "finished": clock.now().isoformat(),
        "stopped": _iso(journal.stopped_at),
        "running": _iso(journal.running_at),
        "down_seconds": journal.down_seconds,
        "backup": journal.backup,
        "rehearsal": journal.rehearsal,
        "compared": journal.compared,
        "old_cluster": journal.cluster.old if journal.cluster and journal.state == "done" else None,
        "phases": {phase: round(seconds, 3) for phase, seconds in journal.phases.items()},
    }
    write_private(state.path / RESULT, json.dumps(document, indent=1) + "\n")


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
