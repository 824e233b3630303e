"""What is wrong, in sentences: pure, from the status. The same list makes the alarms and the exit code of
`status`.

Each sentence is for the worst evening: what happened, what is still safe, what to type next.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from loomio_backup.config import Config, zone
from loomio_backup.drill import drills
from loomio_backup.monitoring import drill_status, freshness
from loomio_backup.monitoring.alarms import Condition
from loomio_backup.monitoring.status import RunStatus, Status
from loomio_backup.monitoring.store_status import StoreStatus
from loomio_backup.progress import bytes_text, seconds_text

PLACES = {"local": "the local store", "drive": "Google Drive"}
_WORK = {"restore": "a restore", "update": "an update"}
_TITLES = {
    "unsettled": "{} is not at its end",
    "frozen": "there is much less data than before",
    "run": "the last backup failed",
    "late": "no new backup in {}",
    "content": "not all is in {} that was put there",
    "drill-run": "a drill comes to no end",
    "drill": "a backup does not come back from {}",
    "proof": "no backup in {} is proven to come back",
    "access": "{} cannot be used",
    "disk": "no room for the next backup",
    "space": "{} is nearly full",
    "clock": "the clock cannot be trusted",
    "rotate-key": "the change of keys is not finished",
    "prune": "old backups are not removed",
}
"""By the first word of the key; what matters most comes first."""
_OUTAGE = timedelta(hours=6)
"""Networks go and come back; a day's backups can be made up for."""
_LONGEST_RUN = timedelta(hours=24)
"""A backup that has been running for longer hangs, unless something still arrives."""
_LONG_DRILL = drills.LONGEST / 2
"""When people hear of a drill that is still going on: long before its unit ends it."""
_CLOCKS = timedelta(minutes=5)
_CLOCK_DOUBTED = timedelta(hours=2)
_SETTLING = timedelta(minutes=30)
"""What was interrupted ends within minutes; only a large restore in streaming mode takes longer."""
_DUMPS = 2
"""Room for less than so many database dumps is hardly any."""
_LOOK = "Look with: loomio-backup status"


def conditions(config: Config, status: Status) -> list[Condition]:
    """Everything that is wrong now; one per key."""
    judge = _Judge(config, status)
    found = [*judge.unsettled(), *judge.runs(), *judge.clock(), *judge.disk(), *judge.frozen()]
    for store in status.stores:
        found += [*judge.late(store), *judge.access(store), *judge.content(store), *judge.room(store)]
        found += judge.drills(store)
    return found


def title(key: str) -> str:
    """What an alarm is about, in a few words."""
    about = key.partition("-")[2]
    return _TITLES[_subject(key)].format(PLACES.get(about) or _WORK.get(about, ""))


def rank(key: str) -> int:
    """How much an alarm matters: 0 most."""
    return list(_TITLES).index(_subject(key))


def _subject(key: str) -> str:
    return key if key in _TITLES else key.partition("-")[0]


def text_of(moment: datetime, config: Config) -> str:
    """A moment in the Pi's time zone, to the minute."""
    return f"{moment.astimezone(zone(config.timezone)):%Y-%m-%d %H:%M %Z}"


class _Judge:
    def __init__(self, config: Config, status: Status) -> None:
        self._config = config
        self._status = status

    # -- of the whole ----------------------------------------------------------------------------------------

    def unsettled(self) -> Iterator[Condition]:
        """A restore or an update that was interrupted, and does not come to its end."""
        for kind, since in (
            ("restore", self._status.restore_unsettled_since),
            ("update", self._status.update_unsettled_since),
        ):
            what = _WORK[kind]
            if since is None:
                continue
            runs = (self._status.running or "").startswith(f"{what},")
            if self._status.at - since < (_LONGEST_RUN if runs else _SETTLING):
                continue
            yield Condition(
                f"unsettled-{kind}",
                _text(
                    f"{what[0].upper()}{what[1:]} has not come to its end since {self._at(since)}:",
                    "Loomio may be down, and no backup is made meanwhile.",
                    self._safe(),
                    "It is tried again by itself; see why it fails with: journalctl -n 50 -u "
                    f"loomio-restore-settle.service -u loomio-{kind}.service.",
                    "When the reason is gone, wait, or type: loomio-backup settle",
                ),
            )

    def runs(self) -> Iterator[Condition]:
        """The last backup, the last pruning, an unfinished change of keys."""
        outage = any(store.outage for store in self._status.stores)
        run = self._status.run("run")
        if run is not None and run.outcome in ("failed", "killed"):
            yield Condition(
                "run",
                _text(
                    f"The last backup, begun {self._at(run.started_at)}, failed: {_error(run)}",
                    self._safe(),
                    "Look with: journalctl -u loomio-backup.service -n 50",
                ),
            )
        elif run is not None and run.outcome == "partial" and not outage:
            # In an outage, the store's own alarm says when it has lasted too long.
            yield Condition("run", _text(_error(run), self._safe()))
        prune = self._status.run("prune")
        told = outage or self._status.frozen or any(self._troubled(store) for store in self._status.stores)
        if prune is not None and prune.outcome in ("failed", "killed") and not told:
            yield Condition(
                "prune",
                _text("Old backups were not removed:", _error(prune), "New ones are still made.", _LOOK),
            )
        rotation = self._status.run("rotate-key")
        if rotation is not None and rotation.outcome in ("failed", "killed"):
            yield Condition(
                "rotate-key",
                _text(
                    f"The change of keys is not finished: {_error(rotation)}",
                    "Every backup still opens with the keys in the secrets file.",
                    "Type: loomio-backup rotate-key",
                ),
            )

        yield from self._endless_drill()

    def _endless_drill(self) -> Iterator[Condition]:
        """A drill that hangs, or that was ended because it did."""
        run = self._status.run("verify")
        if run is None or run.outcome in ("complete", "partial"):
            return
        took = (run.finished_at or self._status.at) - run.started_at
        if run.outcome == "killed" or took < _LONG_DRILL:
            return
        ended = run.outcome == "failed"
        yield Condition(
            "drill-run",
            _text(
                f"The drill begun {self._at(run.started_at)} came to no end in",
                f"{seconds_text(took.total_seconds())}{', and was ended.' if ended else '.'}",
                "Loomio and the backups are untouched, and backups are still made.",
                "See what it waited for with: journalctl -n 20 -u 'loomio-backup-verify*'.",
                "Then try again with: loomio-backup verify"
                if ended
                else f"After {seconds_text(drills.LONGEST.total_seconds())} it is ended by itself; to end it "
                "now, type: systemctl stop 'loomio-backup-verify*.service'",
            ),
        )

    def frozen(self) -> Iterator[Condition]:
        """Retention stopped because the data collapsed."""
        if self._status.frozen is not None:
            yield Condition(
                "frozen",
                _text(
                    f"Retention is frozen: {self._status.frozen}",
                    "The older backups are pinned, and none is removed until you have looked.",
                    "Is all as it should be? Type: loomio-backup prune --resume.",
                    "Was data lost? See loomio-backup list, then type: loomio-backup restore --backup NAME "
                    "--replace-live-data (what is there now is kept aside).",
                ),
            )

    def clock(self) -> Iterator[Condition]:
        """A clock that is wrong, or that nobody can vouch for."""
        what = self._clock()
        if what is not None:
            remedy = "Backups go on, but nothing old is removed. Look with: timedatectl"
            yield Condition("clock", _text(what, remedy))

    def _clock(self) -> str | None:
        asked = [
            (store, store.clock_apart_seconds)
            for store in self._status.stores
            if store.clock_apart_seconds is not None
        ]
        for store, apart in asked:
            if abs(apart) > _CLOCKS.total_seconds():
                place = PLACES[store.store]
                return f"The clocks of this Pi and of {place} differ by {seconds_text(abs(apart))}."
        for store in self._status.stores:
            if store.age_seconds is not None and store.age_seconds < -_CLOCKS.total_seconds():
                return (
                    f"The newest backup in {PLACES[store.store]}, {store.newest}, is of the future "
                    f"({self._at(store.newest_at)}): a clock is or was wrong."
                )
        since = self._status.clock_doubted_since
        confirmed = any(store.store == "drive" for store, _ in asked)
        if since is not None and self._status.at - since >= _CLOCK_DOUBTED and not confirmed:
            return f"The clock of this Pi has not been set by the network since {self._at(since)}."
        return None

    def disk(self) -> Iterator[Condition]:
        """No room to make the next backup."""
        free, needed = self._status.disk_free_bytes, self._status.disk_needed_bytes
        if free < needed:
            yield Condition(
                "disk",
                _text(
                    f"The disk of {self._config.state_directory} is short: {bytes_text(free)} are free,",
                    f"{bytes_text(needed)} are needed, so the next backup will not be made.",
                    self._safe(),
                    "Make room (docker image prune removes what old versions left), then type:",
                    "loomio-backup run",
                ),
            )

    # -- of one store ----------------------------------------------------------------------------------------

    def late(self, store: StoreStatus) -> Iterator[Condition]:
        """No new backup when there should be one, whatever the reason."""
        if store.late_since is None or excuse(self._status, store) is not None:
            return
        place = PLACES[store.store]
        if store.newest_at is None:
            what = f"There is no complete backup in {place} at all, and the first one"
        else:
            of = self._at(store.newest_at)
            what = (
                f"There is no new backup in {place}: the newest, {store.newest}, is of {of}, and the next one"
            )
        yield Condition(
            f"late-{store.store}",
            _text(
                f"{what} should have been there by {self._at(store.late_since)}.",
                self._reason(),
                self._safe(besides=store),
                "Type: loomio-backup run",
            ),
        )

    def access(self, store: StoreStatus) -> Iterator[Condition]:
        """A store that cannot be read, or nothing be put into."""
        key, place = f"access-{store.store}", PLACES[store.store]
        safe = self._safe(besides=store)
        if store.outage:
            since = store.outage_since
            if since is not None and self._status.at - since >= _OUTAGE:
                what = f"{place[0].upper()}{place[1:]} has not answered since {self._at(since)}."
                yield Condition(key, _text(what, safe, "What is missing there follows by itself.", _LOOK))
        elif store.problem is not None:
            yield Condition(key, _text(store.problem, safe, _LOOK))
        elif store.access_problem is not None:
            yield Condition(key, _text(store.access_problem, self._safe(), _LOOK))

    def content(self, store: StoreStatus) -> Iterator[Condition]:
        """What has disappeared from a store, or cannot be believed, and what stops pruning."""
        place, wrong = PLACES[store.store], []
        if store.missing:
            wrong.append(f"{_some(store.missing)} disappeared, and this program did not remove it")
        if store.unreadable:
            wrong.append(f"{_some(store.unreadable)} cannot be read (docs/retention.md says how to go on)")
        if store.incomplete:
            wrong.append(f"{_some(store.incomplete)} lacks objects")
        if wrong:
            yield Condition(
                f"content-{store.store}",
                _text(
                    f"In {place}, not all is as it was put there: {'; '.join(wrong)}.",
                    self._safe(),
                    f"See what is wrong with: loomio-backup check --store {store.store}",
                ),
            )
        elif store.held_back is not None and self._status.frozen is None and store.problem is None:
            yield Condition(
                f"prune-{store.store}",
                _text(
                    f"In {place}, old backups are not removed: {store.held_back} New ones are still made.",
                    "See all decisions with: loomio-backup prune --dry-run",
                ),
            )

    def room(self, store: StoreStatus) -> Iterator[Condition]:
        """A store that is full, or will be before long."""
        today = self._status.at.astimezone(zone(self._config.timezone)).date()
        soon = timedelta(days=self._config.watch.drive_full_days)
        free = store.free_bytes
        if free is not None and free < _DUMPS * self._status.dump_bytes:
            what = f"There is hardly any room in {PLACES[store.store]}: {bytes_text(free)} are free."
        elif store.full_on is not None and store.full_on - today <= soon:
            what = store.forecast if free is None else f"{store.forecast} {bytes_text(free)} are free now."
        else:
            return
        yield Condition(
            f"space-{store.store}",
            _text(what, self._once_full(store)),
        )

    def drills(self, store: StoreStatus) -> Iterator[Condition]:
        """What restores for proof found, and that there has been none for too long."""
        run, name, moment = self._status.run("verify"), store.verified, store.verified_at
        failed = run is not None and run.outcome in ("failed", "killed")
        yield from drill_status.conditions(
            self._config,
            store.store,
            store.drills,
            (name, moment) if name is not None and moment is not None else None,
            run.error if run is not None and failed else None,
            PLACES,
            self._at,
        )

    def _once_full(self, store: StoreStatus) -> str:
        """What a full store means, and what to do before."""
        drive = self._config.stores.drive
        if store.append_only:
            return (
                "Once it is full, no backup can be stored there, because this Pi never deletes in it. On the "
                "operator's machine type: loomio-pi prune"
            )
        if store.store == "drive" and drive is not None and drive.deletion == "trash":
            return (
                "Once it is full, no backup can be stored there, because what this Pi removes goes to the "
                "trash of Drive, which counts, too. Empty it, or set backup.drive.deletion to delete."
            )
        return (
            "Once it is full, the oldest backups go, so that new ones can be made. Make room there, or keep "
            f"fewer backups (backup.{store.store}.retention in the settings)."
        )

    # -- words -----------------------------------------------------------------------------------------------

    def _troubled(self, store: StoreStatus) -> bool:
        return bool(store.problem or store.held_back or store.missing or store.unreadable or store.incomplete)

    def _safe(self, besides: StoreStatus | None = None) -> str:
        """What can be relied on, in the stores `besides` one."""
        stores = [store for store in self._status.stores if store.newest and store is not besides]
        if not stores:
            return "" if besides else "There is no complete backup yet."
        listed = [
            f"{store.newest} of {self._at(store.newest_at)} in {PLACES[store.store]}" for store in stores
        ]
        return f"Safe: {', '.join(listed)}."

    def _reason(self) -> str:
        """What is known about why no backup came."""
        if self._status.timer not in (None, "active"):
            return (
                f"The timer that makes backups is {self._status.timer}: start it with systemctl enable --now "
                "loomio-backup.timer."
            )
        if self._status.run("run") is None:
            return "No backup has ever been begun on this Pi."
        return ""

    def _at(self, moment: datetime | None) -> str:
        return "an unknown time" if moment is None else text_of(moment, self._config)


def excuse(status: Status, store: StoreStatus) -> str | None:
    """Why a late backup is nothing to worry about yet."""
    if status.since_start_seconds < freshness.GRACE.total_seconds():
        return "this Pi was only just switched on"
    run = status.run("run")
    if run is not None and run.outcome == "running":
        # A first copy that takes days keeps the backups of the other stores waiting, too.
        copies = [one.first_copy for one in status.stores if one.first_copy is not None]
        if any(copy.seconds_left is not None for copy in copies) or status.at - run.started_at < _LONGEST_RUN:
            return "a backup is being made"
    return None


def _text(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _error(run: RunStatus) -> str:
    text = (run.error or "it did not say why").strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
