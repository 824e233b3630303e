"""Which backup to restore: the newest, the newest before a time, the one asked for, or what a person
picks."""

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Lineage, Summary
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import SUFFIX
from loomio_backup.command.listing import merged, table
from loomio_backup.config import Config, zone
from loomio_backup.errors import RestoreError, StoreError
from loomio_backup.moment import placed
from loomio_backup.monitoring import freshness
from loomio_backup.progress import say, seconds_text
from loomio_backup.restore.expectation import shortened
from loomio_backup.restore.restore_journal import BOTH, Part, PassedOver
from loomio_backup.stores import Store


@dataclass(frozen=True)
class Wish:
    """What the command line says. `parts`: what is to be restored; `streaming`: what is live may go first.
    `id`: the name that whoever asked knows it by, repeated in the report.
    """

    backup: str | None = None
    newest: bool = False
    before: datetime | None = None
    expect_newer_than: datetime | None = None
    store: str | None = None
    parts: tuple[Part, ...] = BOTH
    unattended: bool = False
    replace_live_data: bool = False
    leave_stopped: bool = False
    leave_other_version_stopped: bool = False
    streaming: bool = False
    id: str | None = None

    @property
    def open_to_older(self) -> bool:
        """Whether an older backup will do where the first choice is damaged."""
        return self.newest or self.before is not None


@dataclass(frozen=True)
class Candidate:
    """A backup and the stores that hold its manifest, in the order in which they are asked for objects."""

    summary: Summary
    stores: list[Store]


def read_histories(stores: Mapping[str, Store], reader: Reader, only: str | None) -> dict[str, History]:
    """What the stores hold. A store that fails is passed over unless it is the last one."""
    if only is not None and only not in stores:
        raise RestoreError(f"no store {only} is configured. Nothing was changed.")
    histories: dict[str, History] = {}
    errors: list[str] = []
    for kind, store in stores.items():
        if only in (None, kind):
            try:
                histories[kind] = reader.read(store)
            except StoreError as error:
                say(f"{kind}: passed over: {error}")
                errors.append(str(error))
    if not histories:
        raise RestoreError(f"no store can be read. Nothing was changed. {' '.join(errors)}")
    for kind, history in histories.items():
        for _, sentence in history.damaged:
            say(f"{kind}: passed over: {sentence}")
        for name in history.foreign:
            say(f"{kind}: passed over: {name}, which no key of this Pi opens")
    return histories


def candidates(
    config: Config,
    wish: Wish,
    stores: Mapping[str, Store],
    histories: Mapping[str, History],
    own: Lineage | None,
    safety: Collection[str] = (),
) -> list[Candidate]:
    """The backups to try, in this order: all of them newest first, or only the chosen one. `own`: this Pi's
    history, if it has one. `safety`: those that restores made here of what they replaced; only by name.
    """
    rows = merged(list(histories.values()))
    if not rows:
        foreign = [name for history in histories.values() for name in history.foreign]
        raise RestoreError(
            f"the key of this Pi opens none of the {len(foreign)} backups in the store. Nothing was changed. "
            "Put the identity that was in use when they were made into encryption.identity and try again."
            if foreign
            else "there is no backup to restore. Nothing was changed."
        )
    _require_news(config, wish, rows[0].summary)
    found = [Candidate(row.summary, [stores[kind] for kind in row.stores]) for row in rows]
    if wish.open_to_older:
        ours = _of_one_loomio(found, own)
        return _before(config, wish, [one for one in ours if one.summary.name not in safety])
    if wish.backup is None:
        if wish.unattended:
            raise RestoreError("which backup? Add --newest or --backup NAME. Nothing was changed.")
        print(table(rows, clock.now()), flush=True)
        wanted = ask("Restore which backup? Its name, or nothing for the newest: ")
    else:
        wanted = wish.backup
    if not wanted:
        return _of_one_loomio(found, own)[:1]
    chosen = [candidate for candidate in found if candidate.summary.name == wanted]
    if not chosen:
        raise RestoreError(f"there is no backup {wanted}. Nothing was changed. See loomio-backup list.")
    return chosen


def _of_one_loomio(found: list[Candidate], own: Lineage | None) -> list[Candidate]:
    """Those of this Pi's Loomio, where the stores hold several: the newest of all may be another group's."""
    instances = {candidate.summary.instance for candidate in found}
    if len(instances) < 2:
        return found
    if own is None or own.instance not in instances:
        names = [next(one.summary.name for one in found if one.summary.instance == id_) for id_ in instances]
        raise RestoreError(
            "the stores hold backups of several Loomios, and this Pi has no history that says which one is "
            f"its own. Nothing was changed. The newest of each: {', '.join(sorted(names))}. Type again with "
            "the one to restore: --backup NAME"
        )
    return [candidate for candidate in found if candidate.summary.instance == own.instance]


def _require_news(config: Config, wish: Wish, newest: Summary) -> None:
    short = shortened(newest.name, newest.snapshot_at, wish.expect_newer_than, config.timezone)
    if short is not None:
        raise RestoreError(
            f"{short}. Nothing was changed. To restore this one all the same, leave out --expect-newer-than."
        )


def _before(config: Config, wish: Wish, found: list[Candidate]) -> list[Candidate]:
    if wish.before is not None:
        limit = placed(wish.before, zone(config.timezone))
        found = [candidate for candidate in found if candidate.summary.snapshot_at < limit]
    if not found:
        when = f" of before {wish.before}" if wish.before else ""
        raise RestoreError(f"there is no backup{when}. Nothing was changed. See loomio-backup list.")
    return found


def staleness(config: Config, candidate: Candidate) -> str | None:
    """A sentence when the newest backup is older than the schedule allows."""
    newest, now = candidate.summary, clock.now()
    due = min(freshness.late_at(config, store.kind, newest.snapshot_at) for store in candidate.stores)
    if now <= due:
        return None
    age = seconds_text((now - newest.snapshot_at).total_seconds())
    return (
        f"The newest backup, {newest.name}, is {age} old; by the schedule the next one was due by "
        f"{due:%Y-%m-%d %H:%M} UTC. If the Pi still ran after that, newer backups may be elsewhere: on its "
        "disk, in a pulled copy."
    )


def unreadable(histories: Iterable[History]) -> list[PassedOver]:
    """Backups whose manifests cannot be used in any store; their names say when they were made."""
    known = list(histories)
    usable = {summary.name for history in known for summary in history.backups}
    reasons: dict[str, str] = {}
    for history in known:
        for name, sentence in history.damaged:
            reasons.setdefault(name.removesuffix(SUFFIX), sentence)
        for name in history.foreign:
            reasons.setdefault(name.removesuffix(SUFFIX), f"no key of this Pi opens {name}.")
    return [
        PassedOver(backup=name, reason=reason)
        for name, reason in sorted(reasons.items())
        if name not in usable
    ]


def next_generation(histories: Mapping[str, History], own: Lineage | None, instance: str) -> int:
    """One more than any generation of this instance that we know of."""
    known = [
        summary.generation
        for history in histories.values()
        for summary in history.backups
        if summary.instance == instance
    ]
    if own is not None and own.instance == instance:
        known.append(own.generation)
    return max(known) + 1


def confirm(question: str) -> None:
    """Have a person type `yes`. Raises RestoreError for anything else."""
    if ask(question) != "yes":
        raise RestoreError("nothing was changed: the answer was not yes.")


def ask(question: str) -> str:
    """What a person types; "" at the end of input. Raises RestoreError where nobody is."""
    if not sys.stdin.isatty():
        raise RestoreError(
            "a restore asks before it replaces anything, and there is nobody to ask. Nothing was changed. "
            "Add --unattended and --newest or --backup NAME."
        )
    try:
        return input(question).strip()
    except EOFError:
        return ""
