"""Which alarms are open, and which of them have to be told now: no silence, and no flood.

A new alarm is told at once, an open one again after `reminder_hours` or when its sentence says something else
(other figures are not something else), one that is over gets one notice. What comes and goes within a day is
told once more and then stays open until it has been quiet for some hours. Nothing counts as told before it
was: what could not be sent is tried again with the next look.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from loomio_backup.catalogue.catalogue import Catalogue

_CHANGED = timedelta(hours=3)
"""A changed sentence is told this long after the last one: two errors in turn must not become a flood."""
_RESTLESS = timedelta(hours=24)
_QUIET = timedelta(hours=6)
"""An alarm that had ended less than `_RESTLESS` before it came back ends only after so long a quiet."""

_FIGURES = re.compile(r"\d[\d.,:_-]*( (bytes|[kMGT]?B|s|min|h|days?|hours?)\b)*")


@dataclass(frozen=True)
class Condition:
    """Something that is wrong now. `key` says which alarm it is, `text` is what a person reads."""

    key: str
    text: str


@dataclass(frozen=True)
class Alarm:
    """An open alarm. `told_at`: when a person was last told, None: not yet. `over_since`: what it is about is
    not so any more, but nobody has been told, or it has come and gone before.
    """

    key: str
    text: str
    since: datetime
    told_at: datetime | None
    over_since: datetime | None


@dataclass(frozen=True)
class Tidings:
    """What a person has to be told now, in one message; `open` are the other open alarms."""

    new: tuple[Alarm, ...]
    again: tuple[Alarm, ...]
    over: tuple[Alarm, ...]
    open: tuple[Alarm, ...]

    @property
    def any(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.new or self.again or self.over)


def open_alarms(catalogue: Catalogue) -> list[Alarm]:
    """The open alarms, oldest first."""
    rows = catalogue.database.execute(
        "SELECT key, text, since, told_at, over_since FROM alarms WHERE open ORDER BY since, key"
    )
    return [
        Alarm(key, text, datetime.fromisoformat(since), _moment(told_at), _moment(over_since))
        for key, text, since, told_at, over_since in rows
    ]


def update(
    catalogue: Catalogue, conditions: Sequence[Condition], now: datetime, reminder: timedelta
) -> Tidings:
    """Raise and clear alarms; returns what to tell. `told` has to be called once that was done."""
    texts = {condition.key: condition.text for condition in conditions}
    with catalogue.transaction():
        known = {alarm.key for alarm in open_alarms(catalogue)}
        for key in texts.keys() - known:
            _raise(catalogue, key, texts[key], now)
        return _decide(catalogue, texts, now, reminder)


def told(catalogue: Catalogue, tidings: Tidings, now: datetime) -> None:
    """Note that a person has been told."""
    with catalogue.transaction() as database:
        for alarm in (*tidings.new, *tidings.again):
            database.execute(
                "UPDATE alarms SET told_at = ?, text = ? WHERE key = ?",
                (now.isoformat(), alarm.text, alarm.key),
            )
        for alarm in tidings.over:
            _end(catalogue, alarm.key, now)


def _decide(catalogue: Catalogue, texts: dict[str, str], now: datetime, reminder: timedelta) -> Tidings:
    new, again, over, rest = [], [], [], []
    for alarm in open_alarms(catalogue):
        if alarm.key not in texts:
            if alarm.told_at is None:
                _end(catalogue, alarm.key, now)  # nobody knows of it, so nobody needs to know that it is over
            elif _quiet_enough(catalogue, alarm, now):
                over.append(alarm)
            continue
        current = Alarm(alarm.key, texts[alarm.key], alarm.since, alarm.told_at, None)
        changed = _essence(current.text) != _essence(alarm.text)
        if not changed:
            _keep(catalogue, current.key, current.text)
        else:
            _keep(catalogue, current.key, alarm.text)  # until it is told, the other sentence is the known one
        if alarm.told_at is None:
            new.append(current)
        elif _between(now, alarm.told_at) >= (_CHANGED if changed else reminder):
            again.append(current)
        else:
            rest.append(current)
    if new or again or over:
        # One message now rather than another one soon.
        soon = [alarm for alarm in rest if alarm.told_at and _between(now, alarm.told_at) >= reminder / 2]
        again += soon
        rest = [alarm for alarm in rest if alarm not in soon]
    return Tidings(tuple(new), tuple(again), tuple(over), tuple(rest))


def _quiet_enough(catalogue: Catalogue, alarm: Alarm, now: datetime) -> bool:
    """Whether what the alarm is about is over for good, as far as anybody can tell."""
    query = "SELECT ended_at FROM alarms WHERE key = ?"
    ended_before = _moment(catalogue.database.execute(query, (alarm.key,)).fetchone()[0])
    since = alarm.over_since or now
    catalogue.database.execute(
        "UPDATE alarms SET over_since = ? WHERE key = ?", (since.isoformat(), alarm.key)
    )
    restless = ended_before is not None and _between(alarm.since, ended_before) < _RESTLESS
    return not restless or _between(now, since) >= _QUIET


def _raise(catalogue: Catalogue, key: str, text: str, now: datetime) -> None:
    # The row of an alarm that ended stays, so that it is known when it comes back.
    catalogue.database.execute(
        "INSERT INTO alarms (key, text, since) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET open = 1, "
        "text = excluded.text, since = excluded.since, told_at = NULL, over_since = NULL",
        (key, text, now.isoformat()),
    )


def _keep(catalogue: Catalogue, key: str, text: str) -> None:
    catalogue.database.execute("UPDATE alarms SET text = ?, over_since = NULL WHERE key = ?", (text, key))


def _end(catalogue: Catalogue, key: str, now: datetime) -> None:
    catalogue.database.execute(
        "UPDATE alarms SET open = 0, ended_at = ? WHERE key = ?", (now.isoformat(), key)
    )


def _between(one: datetime, other: datetime) -> timedelta:
    # A clock that was set back must not silence anything for as long as it had been ahead.
    return abs(one - other)


def _essence(text: str) -> str:
    """A sentence without its figures, times, sizes and the numbers in names."""
    return _FIGURES.sub("#", text)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
