"""`loomio-backup status`: how the backups stand, in plain words or as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError, ConfigError
from loomio_backup.monitoring import notify, status
from loomio_backup.monitoring.conditions import PLACES, conditions, excuse, text_of
from loomio_backup.monitoring.notify import Alerts
from loomio_backup.monitoring.status import Status
from loomio_backup.monitoring.store_status import FirstCopy, Opened, StoreStatus
from loomio_backup.progress import bytes_text, seconds_text
from loomio_backup.restore import keeping
from loomio_backup.restore.keeping import Kept
from loomio_backup.state import StateDirectory

NO_DRIVE = (
    "Google Drive is not set up, so the backups would die with the Pi: fire, theft or a dead disk takes both."
    " Set up backup.drive in the settings, or fetch a copy of the backups with: loomio-pi pull"
)
NOBODY = (
    "Nobody is told when something goes wrong: put alerts into the secrets file (loomio-pi secrets edit)."
)


def run(config: Config, credentials: Credentials, as_json: bool) -> int:
    """The verb. Exit code 0: all is well, 1: something is wrong (it is in the answer).

    As JSON: `ok`; `problems` (sentences about what is wrong; empty when ok) and `notes` (worth knowing,
    nothing wrong); and every field of status.Status, store_status.StoreStatus, status.RunStatus,
    status.KeyStatus, store_status.FirstCopy, drill_status.Standing, outlook.Outlook and alarms.Alarm by its
    name, as documented there. Times are ISO 8601 in UTC.
    """
    state = StateDirectory(config.state_directory)
    with Catalogue(state.catalogue) as catalogue:
        seen = look(config, credentials, state, catalogue)
    if as_json:
        print(json.dumps(document(seen.found, seen.problems, seen.notes), indent=1))
    else:
        print("\n".join(lines(config, seen.found, seen.problems, seen.notes)))
    return 1 if seen.problems else 0


@dataclass(frozen=True)
class Look:
    """How everything stands, what is wrong, and what is worth knowing: sentences."""

    found: Status
    problems: list[str]
    notes: list[str]


def look(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    opened: Mapping[str, Opened | AgentError] | None = None,
) -> Look:
    """Look at everything once. `opened`: the stores, where somebody has opened them already."""
    wrong: list[str] = []
    try:
        alerts = notify.load(credentials)
    except ConfigError as error:
        alerts = Alerts()
        wrong.append(str(error))
    found = status.collect(config, credentials, state, catalogue, alerts, opened)
    problems = [condition.text for condition in conditions(config, found)] + wrong
    if found.unsent is not None:
        problems.append(
            f"The last message did not reach everybody: {found.unsent} When that is mended, try it out with: "
            "loomio-backup alert-test"
        )
    return Look(found, problems, notes(config, found, nobody=not alerts.any and not wrong))


def document(found: Status, problems: list[str], noted: list[str]) -> dict[str, Any]:
    """What `--json` prints, as documented at `run`."""
    fields: dict[str, Any] = json.loads(json.dumps(asdict(found), default=_iso))
    return {"ok": not problems, "problems": problems, "notes": noted, **fields}


def notes(config: Config, found: Status, nobody: bool) -> list[str]:
    """What is worth knowing and nothing to worry about."""
    noted = [_first_copy(store, store.first_copy) for store in found.stores if store.first_copy is not None]
    if config.stores.drive is None:
        noted.append(NO_DRIVE)
    if nobody:
        noted.append(NOBODY)
    noted += [
        f"{_place(store)}: a backup is overdue, but {reason}."
        for store in found.stores
        if store.late_since is not None and (reason := excuse(found, store)) is not None
    ]
    noted += [_kept(one, config) for one in found.kept]
    return noted


def lines(config: Config, found: Status, problems: list[str], noted: list[str]) -> list[str]:
    """The answer for people."""
    said = [f"{found.host}, {_at(found.at, config)}: {_headline(found, problems)}"]
    said += [f"  ! {problem}" for problem in problems]
    said += [f"  * {note}" for note in noted]
    said.append(f"  {found.outlook.text}")
    for store in found.stores:
        said += ["", *_store(store, config)]
    said += ["", *_rest(found, config)]
    return said


def _headline(found: Status, problems: list[str]) -> str:
    if problems:
        return "something is wrong"
    if any(store.first_copy is not None for store in found.stores):
        return "not yet protected"
    return "all is well"


def _store(store: StoreStatus, config: Config) -> list[str]:
    said = [f"{_place(store)}"]
    if store.problem is not None:
        said.append("  cannot be read now; this is what was known:")
    if store.newest_at is not None and store.age_seconds is not None:
        age = seconds_text(abs(store.age_seconds))
        when = f"{age} old" if store.age_seconds >= 0 else f"{age} in the future"
        said.append(f"  newest complete:  {store.newest}, {_at(store.newest_at, config)}, {when}")
    else:
        said.append("  newest complete:  none yet")
    if store.due_at is not None:
        said.append(f"  next due:         {_at(store.due_at, config)}")
    size = "" if store.bytes is None else f", {bytes_text(store.bytes)}"
    said.append(f"  backups:          {store.backups}{size}{_incomplete(store)}")
    if store.missing or store.unreadable:
        gaps = [f"{name} (disappeared)" for name in store.missing]
        gaps += [f"{name} (cannot be read)" for name in store.unreadable]
        said.append(f"  gaps:             {', '.join(gaps)}")
    if store.pinned:
        said.append(f"  pinned:           {', '.join(store.pinned)}")
    if store.verified is not None and store.verified_at is not None:
        said.append(f"  last verified:    {store.verified}, {_at(store.verified_at, config)}")
    elif store.problem is None:
        said.append("  last verified:    never: no restore for proof has passed yet")
    if store.free_bytes is not None and store.total_bytes is not None:
        said.append(
            f"  room:             {bytes_text(store.free_bytes)} of {bytes_text(store.total_bytes)} free"
        )
    said.append(f"  forecast:         {store.forecast}")
    if store.append_only:
        said.append("  this Pi never deletes here (append_only): prune from the operator's machine")
    return said


def _rest(found: Status, config: Config) -> list[str]:
    said = []
    run = found.run("run")
    if run is None:
        said.append("last backup run:    none yet")
    else:
        ended = f", ended {_at(run.finished_at, config)}" if run.finished_at else ""
        said.append(f"last backup run:    {run.outcome}, begun {_at(run.started_at, config)}{ended}")
        if run.error:
            said.append(f"                    {run.error}")
    drill = found.run("verify")
    if drill is not None:
        said.append(f"last drill run:     {drill.outcome}, begun {_at(drill.started_at, config)}")
    timer = "" if found.timer is None else f" (the timer is {found.timer})"
    said.append(f"next backup run:    {_at(found.next_run_at, config)}{timer}")
    said.append(f"running now:        {found.running or 'nothing'}")
    if found.frozen is not None:
        said.append(f"retention:          frozen: {found.frozen}")
    said.append(
        f"disk for the work:  {bytes_text(found.disk_free_bytes)} free, "
        f"{bytes_text(found.disk_needed_bytes)} needed"
    )
    said.append(
        f"clock:              {'set by the network' if found.clock_synchronised else 'not known to be right'}"
    )
    for key in found.keys:
        if key.objects:
            said.append(f"key needed:         {key.fingerprint} ({_WHERE[key.where]})")
        else:
            said.append(f"key not needed:     {key.fingerprint} (it can be dropped from the secrets file)")
    for alarm in found.alarms:
        over = f", over since {_at(alarm.over_since, config)}" if alarm.over_since else ""
        told = f"told {_at(alarm.told_at, config)}" if alarm.told_at else "nobody told yet"
        said.append(f"open alarm:         {alarm.key}, since {_at(alarm.since, config)}, {told}{over}")
    return said


_WHERE = {
    "identity": "on this Pi",
    "this Pi": "this Pi's own; opens lists of backups, nothing else",
    "settings": "not on this Pi; in the settings as a recipient",
    "elsewhere": "not on this Pi; older backups need it",
}


def _kept(one: Kept, config: Config) -> str:
    until = keeping.goes_on(config, one)
    how = "" if until is None else f" It goes by itself on {text_of(until, config)}."
    return (
        f"What was here before the restore of {one.backup} is kept aside since {_at(one.since, config)}, for "
        f"loomio-backup undo, and takes {bytes_text(one.bytes)}.{how} To give the room free now: "
        "loomio-backup undo --forget"
    )


def _first_copy(store: StoreStatus, copy: FirstCopy) -> str:
    place, there = PLACES[store.store], bytes_text(copy.bytes_there)
    if store.store == "drive":
        said = f"Not yet protected: no backup is complete in {place}, {there} are there"
    else:
        said = f"No backup is complete in {place} yet, {there} are there"
    if copy.bytes_left is None:
        return f"{said}; how much is to come is not known yet."
    left = f"{said}, about {bytes_text(copy.bytes_left)} are to come"
    if copy.seconds_left is None:
        return f"{left}; how long that takes is not known yet."
    return f"{left}, about {seconds_text(copy.seconds_left)} at the present pace."


def _incomplete(store: StoreStatus) -> str:
    return f", incomplete: {', '.join(store.incomplete)}" if store.incomplete else ""


def _place(store: StoreStatus) -> str:
    place = PLACES[store.store]
    return place[0].upper() + place[1:]


def _at(moment: datetime, config: Config) -> str:
    return text_of(moment, config)


def _iso(value: object) -> str:
    assert isinstance(value, datetime | date)
    return value.isoformat()
