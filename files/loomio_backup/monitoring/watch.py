"""`loomio-backup watch`: one look at everything, and whoever has to know is told. Run by its own timer and
after each backup, so that a backup that never starts is noticed, too.

What is found wrong becomes an alarm; alarms.py decides what is told, and how often. A look that fails is told
as well. The dead man's switch is pinged each time: all is well, or not.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError, ConfigError, StoreError, StoreUnavailable
from loomio_backup.monitoring import alarms, notify, prometheus, status
from loomio_backup.monitoring.alarms import Alarm, Tidings
from loomio_backup.monitoring.conditions import conditions, rank, text_of, title
from loomio_backup.monitoring.notify import Alerts, Message
from loomio_backup.monitoring.status import CLOCK_DOUBTED, UNSENT, Status
from loomio_backup.monitoring.store_status import ACCESS, OUTAGE, PATIENCE, note_figures
from loomio_backup.progress import say
from loomio_backup.restore import keeping, restore_journal
from loomio_backup.state import StateDirectory

_CANARY = timedelta(hours=24)
_CANARY_AT = "canary_at"
_TROUBLE = "watch-trouble"


def run(config: Config, credentials: Credentials) -> int:
    """The verb. Exit code 0: looked, and whoever had to be told was; 1: somebody could not be told, or the
    figures not be written. Raises AgentError or OSError when it could not look; that has been told, too.
    """
    alerts = notify.load(credentials)
    try:
        state = StateDirectory(config.state_directory)
        with _alone(state) as alone:
            if not alone:
                say("another watch is looking just now")
                return 0
            with Catalogue(state.catalogue) as catalogue:
                delivered = _look(config, credentials, state, catalogue, alerts)
            _end_trouble(config, alerts)
    except (AgentError, OSError) as error:
        _tell_trouble(config, alerts, error)
        raise
    return 0 if delivered else 1


@contextlib.contextmanager
def _alone(state: StateDirectory) -> Iterator[bool]:
    """Whether no other watch is running: two would tell everything twice."""
    with (state.path / "watch.lock").open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _look(
    config: Config, credentials: Credentials, state: StateDirectory, catalogue: Catalogue, alerts: Alerts
) -> bool:
    """Whether everything that had to be sent and written was."""
    _try_out(config, credentials, catalogue)
    found = status.collect(config, credentials, state, catalogue, alerts)
    _note(catalogue, found)
    wrong = conditions(config, found)
    tidings = alarms.update(catalogue, wrong, found.at, timedelta(hours=config.watch.reminder_hours))
    for condition in wrong:
        say(f"{condition.key}: {condition.text}")
    if not wrong:
        say("nothing is wrong")
    if keeping.due(config, catalogue):
        # The watch must not touch data: the unit that watches for this marker lets go of it.
        (state.path / restore_journal.MARKER).touch(mode=0o600)
    delivered = _tell(config, catalogue, alerts, tidings, found)
    delivered &= _ping(alerts, well=not wrong)
    if config.watch.prometheus_file is not None:
        delivered &= _write_figures(found, len(alarms.open_alarms(catalogue)), config.watch.prometheus_file)
    return delivered


def _write_figures(found: Status, alarms_open: int, path: Path) -> bool:
    """Whether Prometheus got its figures. People have been told by now, whatever comes of it."""
    try:
        prometheus.write(found, alarms_open, path)
    except OSError as error:
        say(
            f"{path}, which Prometheus reads, could not be written ({error.strerror}). The backups are not "
            "concerned. Run the setup deploy again: it makes the directory"
        )
        return False
    return True


def _try_out(config: Config, credentials: Credentials, catalogue: Catalogue) -> None:
    """Find out once a day whether backups could be stored in Drive: a token dies, a role is taken away, and
    reading may still work. A failure is tried again with each look.
    """
    key, now = ACCESS + "drive", clock.now()
    tried = catalogue.meta(_CANARY_AT)
    fresh = tried is not None and abs(now - datetime.fromisoformat(tried)) < _CANARY
    if config.stores.drive is None or (fresh and catalogue.meta(key) is None):
        return
    try:
        open_stores(config, credentials, PATIENCE)["drive"].verify_access()
    except StoreUnavailable:
        return  # which says nothing about the access; the outage is noticed by itself
    except (StoreError, ConfigError) as error:
        catalogue.set_meta(key, str(error))
    else:
        catalogue.set_meta(key, None)
    catalogue.set_meta(_CANARY_AT, now.isoformat())


def _note(catalogue: Catalogue, found: Status) -> None:
    """Remember what the next looks need: since when something is so, and the figures of the day."""
    for store in found.stores:
        _note_since(catalogue, OUTAGE + store.store, store.outage, found.at)
        note_figures(catalogue, store, found.at.astimezone(UTC).date())
    _note_since(catalogue, CLOCK_DOUBTED, not found.clock_synchronised, found.at)


def _note_since(catalogue: Catalogue, key: str, is_so: bool, now: datetime) -> None:
    if not is_so:
        catalogue.set_meta(key, None)
    elif catalogue.meta(key) is None:
        catalogue.set_meta(key, now.isoformat())


def _tell(config: Config, catalogue: Catalogue, alerts: Alerts, tidings: Tidings, found: Status) -> bool:
    """Send what has to be told; whether it reached everybody. What reached nobody is sent again by the next
    look.
    """
    if not alerts.any:
        catalogue.set_meta(UNSENT, None)
        return True
    if not tidings.any:
        return True
    deliveries = notify.send(alerts, message(config, tidings))
    failed = [f"{delivery.channel} {delivery.error}" for delivery in deliveries if delivery.error is not None]
    for sentence in failed:
        say(f"a message was not delivered: {sentence}")
    if len(failed) < len(deliveries):
        alarms.told(catalogue, tidings, found.at)
        say(f"told: {', '.join(alarm.key for alarm in (*tidings.new, *tidings.again, *tidings.over))}")
    catalogue.set_meta(UNSENT, "; ".join(failed) + "." if failed else None)
    return not failed


def _ping(alerts: Alerts, *, well: bool) -> bool:
    delivery = notify.ping(alerts, well=well)
    if delivery is not None and delivery.error is not None:
        say(f"the dead man's switch was not reached: {delivery.channel} {delivery.error}")
        return False
    return True


def message(config: Config, tidings: Tidings) -> Message:
    """One message for all that has to be told."""
    alarmed = (*tidings.new, *tidings.again)
    first = min(alarmed or tidings.over, key=lambda alarm: rank(alarm.key))
    more = len(alarmed or tidings.over) - 1
    also = f" (and {more} more)" if more else ""
    over = "" if alarmed else "over: "
    parts = [
        *_part("", tidings.new),
        *_part("Still so:", tidings.again),
        *_part("Also still so:", tidings.open, in_short=True),
    ]
    if tidings.over:
        parts += [
            "Over:",
            *(f"- {title(alarm.key)} (since {text_of(alarm.since, config)})" for alarm in tidings.over),
        ]
    parts += [f"This is about the Pi {config.host}. How everything stands: loomio-backup status"]
    return Message(
        subject=f"[{config.host}] Backups: {over}{title(first.key)}{also}",
        body="\n\n".join(parts),
        kind="failure" if alarmed else "success",
    )


def _part(heading: str, told: Sequence[Alarm], in_short: bool = False) -> list[str]:
    if not told:
        return []
    texts = [f"- {title(alarm.key)}" if in_short else alarm.text for alarm in told]
    return [heading, *texts] if heading else texts


def _marker(config: Config) -> Path:
    """Notes that a look failed; where a full or broken disk does not matter, if there is such a place."""
    return Path(os.environ.get("RUNTIME_DIRECTORY") or config.state_directory) / _TROUBLE


def _tell_trouble(config: Config, alerts: Alerts, error: Exception) -> None:
    """The look failed: tell that, and again when it has been so for as long as an alarm is repeated."""
    _ping(alerts, well=False)
    marker, now = _marker(config), clock.now()
    reminder = timedelta(hours=config.watch.reminder_hours)
    with contextlib.suppress(OSError, ValueError):  # what cannot be remembered is told once too often
        if abs(now - datetime.fromisoformat(marker.read_text(encoding="utf-8"))) < reminder:
            return
    text = (
        f"Nobody can say how the backups are: {error} Look on the Pi {config.host} with: loomio-backup status"
    )
    deliveries = notify.send(alerts, Message(f"[{config.host}] Backups: the watch over them failed", text))
    if any(delivery.error is None for delivery in deliveries):
        with contextlib.suppress(OSError):
            marker.write_text(now.isoformat(), encoding="utf-8")


def _end_trouble(config: Config, alerts: Alerts) -> None:
    marker = _marker(config)
    if marker.exists():
        text = (
            f"What is wrong with the backups of {config.host}, if anything, is told in messages of its own."
        )
        message = Message(f"[{config.host}] Backups: over: the watch works again", text, "success")
        # What reached nobody is told by the next look.
        if any(delivery.error is None for delivery in notify.send(alerts, message)):
            marker.unlink()
