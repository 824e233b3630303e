"""What follows when a backup is safe: older ones that a store lacks, the look for ruins, and retention.

Nothing here can spoil the backup; what fails is told, and tried again by the next run.
"""

from collections.abc import Iterable, Sequence, Set

from loomio_backup import clock, room
from loomio_backup.backup import anomaly
from loomio_backup.backup.publication import Publication
from loomio_backup.backup.replication import Replication
from loomio_backup.backup.sources import NotToBeHad
from loomio_backup.catalogue.catalogue import Catalogue, Summary
from loomio_backup.catalogue.history import History
from loomio_backup.catalogue.manifest import SUFFIX, Manifest
from loomio_backup.config import Config, Retention
from loomio_backup.errors import StoreConflict
from loomio_backup.progress import say
from loomio_backup.retention import retention
from loomio_backup.retention.pins import Pin, Pins
from loomio_backup.retention.prune import Histories, Pruner
from loomio_backup.stores import Store


class Aftermath:
    """Works on the stores that hold the new backup. `histories`: what they held before it."""

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        publication: Publication,
        replication: Replication,
        pins: Pins,
        pruner: Pruner,
        histories: Histories,
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._publication = publication
        self._replication = replication
        self._pins = pins
        self._pruner = pruner
        self._histories = histories

    def catch_up(self, new: Summary) -> None:
        """Give each store the older backups that it missed (it was away, or came later) and would keep."""
        for kind, store in self._publication.working.items():
            history = self._histories[kind][1]
            others = [other for name, (_, other) in self._histories.items() if name != kind]
            removed = self._catalogue.removed_from(kind)
            missed = lacking(new, history, others, removed, self._policy(kind), self._config.timezone)
            with self._publication.giving_up(kind):
                for number, summary in enumerate(missed, start=1):
                    manifest = self._catalogue.load(summary)
                    if not self._fits(manifest, new, store, history):
                        left = len(missed) - number + 1
                        say(f"{kind}: no room for {left} older backups that it missed ({summary.name} first)")
                        break
                    say(f"{kind}: gets {summary.name}, which it missed ({number} of {len(missed)})")
                    self._copy(manifest, store)

    def _fits(self, manifest: Manifest, new: Summary, store: Store, history: History) -> bool:
        """Whether a store has room for an older backup, and for another new one after it."""
        size = sum(entry.stored_size for entry in manifest.objects if entry.name not in history.objects)
        size += sum(entry.stored_size for entry in self._catalogue.load(new).objects if entry.kind != "pack")
        limit = self._policy(store.kind).space_limit_bytes
        used = sum(stored.size for stored in history.objects.values())
        within = limit is None or used + size <= limit
        return within and room.shortage(store, size, self._publication.sender.reserve) == 0

    def _copy(self, manifest: Manifest, store: Store) -> None:
        lost = next((entry.name for entry in manifest.objects if not self._is_held(entry.name)), None)
        if lost is not None:
            # Before anything is sent: the same would happen with every run.
            say(f"{store.kind}: {manifest.name} was passed over: no store holds {lost}, which it needs")
            return
        try:
            self._replication.copy(manifest, store)
        except (NotToBeHad, StoreConflict) as error:
            # The store itself is well, and the newest backup is in it.
            say(f"{store.kind}: {manifest.name} was passed over: {error}")

    def _is_held(self, name: str) -> bool:
        found = [self._catalogue.believed(kind, name) for kind in self._histories]
        return any(known is not None and known.state == "confirmed" for known in found)

    def look_for_ruins(self, manifest: Manifest) -> None:
        """Compare the new backup with those before it. When much is gone, the older ones are pinned and
        retention stops until a person has looked.
        """
        known = {
            summary.order: summary
            for _, history in self._histories.values()
            for summary in history.backups
            if summary.instance == manifest.instance
        }
        since = anomaly.accepted(self._catalogue.meta(anomaly.ACCEPTED))
        orders = [order for order in sorted(known) if order >= since]
        newest = [known[order] for order in orders[-anomaly.COMPARED :]]
        previous = [self._catalogue.load(summary) for summary in newest]
        found = anomaly.judge(manifest, previous, self._config.watch.collapse_percent)
        for sentence in found:
            say(f"warning: {sentence}")
        if not found or self._catalogue.meta("frozen") is not None:
            return
        text = " ".join(found)
        # The pins first: they hold even where room has to be made, and an interrupted run tries both again.
        for kind, store in self._publication.working.items():
            with self._publication.giving_up(kind):
                self._pin(store, self._histories[kind][1], newest, text)
        self._catalogue.set_meta("frozen", text)
        say("retention is frozen until somebody has looked, and the earlier backups are pinned")

    def _pin(self, store: Store, history: History, backups: Iterable[Summary], reason: str) -> None:
        held = {summary.name for summary in history.backups}
        for summary in backups:
            if summary.name in held:
                pin = Pin(backup=summary.name, reason=reason, pinned_at=clock.now(), by="program")
                self._pins.put(store, history, pin)

    def prune(self) -> None:
        """Let retention remove what the settings do not keep, from the stores that hold the new backup."""
        for report in self._pruner.prune(self._publication.working, known=self._histories):
            if report.problem is not None:
                say(f"{report.store}: old backups: {report.problem}")

    def _policy(self, kind: str) -> Retention:
        stores = self._config.stores
        found = stores.local if kind == "local" else stores.drive
        assert found is not None
        return found.retention


def lacking(
    new: Summary,
    history: History,
    others: Sequence[History],
    removed: Set[str],
    policy: Retention,
    timezone: str,
) -> list[Summary]:
    """The backups older than `new` that other stores hold and this one lacks, and that its retention would
    keep, newest first. What was removed here on purpose, or lies here damaged, does not come again.
    """
    here = {new.name, *(summary.name for summary in history.backups)}
    closed = {name.removesuffix(SUFFIX) for name, _ in history.damaged} | removed
    known = {summary.name: summary for each in (*others, history) for summary in each.backups}
    own = [new, *(summary for summary in known.values() if summary.instance == new.instance)]
    pinned = {name for other in others for name in other.pins}
    wanted = retention.wanted(own, policy, timezone) | pinned
    missed = [one for one in own if one.name in wanted and one.name not in here | closed]
    return sorted(missed, key=lambda summary: summary.order, reverse=True)
