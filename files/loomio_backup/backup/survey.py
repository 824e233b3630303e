"""What is there before a backup is begun: what the stores hold, whose backups those are, which one the new
one follows, and whether there is room for it.
"""

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

from loomio_backup import room
from loomio_backup.backup import appdata, incremental
from loomio_backup.backup.attempt import Attempts
from loomio_backup.backup.index import read_index
from loomio_backup.backup.publication import Publication
from loomio_backup.backup.sources import Sources
from loomio_backup.catalogue import lineage
from loomio_backup.catalogue.catalogue import Catalogue, Lineage
from loomio_backup.catalogue.history import History, Reader, remember
from loomio_backup.catalogue.lineage import Found
from loomio_backup.catalogue.manifest import Manifest, ObjectEntry, SourceContent, backup_name
from loomio_backup.catalogue.objects import read_object
from loomio_backup.config import Config
from loomio_backup.database import database_helper, postgres
from loomio_backup.errors import CryptoError, StoreError, StoreFull
from loomio_backup.progress import say
from loomio_backup.retention.prune import Histories, Pruner
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store


class Survey:
    """The histories of all stores that take part, and what follows from them."""

    def __init__(
        self,
        config: Config,
        state: StateDirectory,
        catalogue: Catalogue,
        reader: Reader,
        publication: Publication,
        sources: Sources,
        pruner: Pruner,
    ) -> None:
        self._config = config
        self._state = state
        self._catalogue = catalogue
        self._reader = reader
        self._publication = publication
        self._sources = sources
        self._pruner = pruner
        self._attempts = Attempts(catalogue)
        self._one_at_a_time = threading.Lock()
        self.warnings: list[str] = []
        self._read: dict[str, tuple[Store, History]] = {}
        self.own = Lineage("", 0, 0, None)
        self.predecessor: Manifest | None = None

    @property
    def histories(self) -> Histories:
        """Those of the stores that still work."""
        return {kind: self._read[kind] for kind in self._publication.working if kind in self._read}

    def look(self) -> None:
        """Read all histories. Raises BackupError when no store works, or when their history is not ours to
        continue.
        """
        while unread := [kind for kind in self._publication.working if kind not in self._read]:
            with self._publication.giving_up(unread[0]):
                store = self._publication.working[unread[0]]
                history = self._reader.read(store)
                remember(self._catalogue, store, history)
                self._read[unread[0]] = store, history
                self._warn_of(history)
        self._catalogue.forget_lost_packs()
        self.own = self._lineage()
        # Written down before anything is stored: should we die on the way, the history is still ours.
        self._catalogue.set_lineage(self.own)
        self.predecessor = self._newest()

    def make_room(self) -> None:
        """Let old backups go where the new one would not fit, as far as can be told from the last one; a
        store that stays too full is given up.
        """
        last = self.predecessor
        if last is None:
            return
        needed = sum(entry.stored_size for entry in last.objects if entry.kind not in ("pack", "index"))
        reserve = max(entry.stored_size for entry in last.objects)
        self._publication.sender.reserve = reserve
        for kind, store in self._publication.working.items():
            report = self._pruner.make_room(
                kind, self.histories, needed, reserve, self._relied_on(), before=self._require_sources
            )
            with self._publication.giving_up(kind):
                if room.shortage(store, needed, reserve) > 0:
                    raise StoreFull(report.problem or "there is no room for another backup.")
        self.look()  # at a store that was called in because no other has room

    def _require_sources(self) -> None:
        """Nothing old goes for a backup that cannot be made. Raises SourceError and BackupError."""
        last, roots = self.predecessor, appdata.resolve_roots(self._config.app_data)
        found = {
            name: SourceContent(files=int(appdata.has_files(root)), bytes=0) for name, root in roots.items()
        }
        lineage.refuse_empty_sources(last, found)
        with database_helper.opened(self._config, self._state.spool) as helper:
            table = postgres.first_live_table(helper, self._config.database.name)
        if table is None:
            lineage.refuse_sudden_emptiness(last, {})

    def make_more_room(self, store: Store, needed: int, relied_on: Iterable[str]) -> bool:
        """Like `make_room`, for an object of the backup in the making, which relies on these packs, too: what
        it will take cannot be told before. Whether there is room then. For any thread.
        """
        with self._one_at_a_time:
            histories = {kind: (one.clone(), history) for kind, (one, history) in self.histories.items()}
            reserve = self._publication.sender.reserve
            in_use = {*self._relied_on(), *relied_on}
            self._pruner.make_room(store.kind, histories, needed, reserve, in_use)
            return room.shortage(histories[store.kind][0], needed, reserve) == 0

    def _relied_on(self) -> set[str]:
        """What the new backup may need, whatever else goes."""
        last = [] if self.predecessor is None else self.predecessor.objects
        return {entry.name for entry in last} | set(self._attempts.waiting())

    def learn_index(self) -> None:
        """After the catalogue was lost, or a restore: what the packs hold is in the last backup's index."""
        entry = self.usable_index()
        if entry is None or incremental.known_index(self._catalogue) == entry.name:
            return
        keys = self._reader.keys
        keys.learn_for([entry], [(store, history.objects) for store, history in self.histories.values()])
        try:
            with (
                self._sources.file(entry.name, entry.stored_sha256) as (path, _),
                read_object(path, keys.identities) as content,
            ):
                files = incremental.load_index(self._catalogue, read_index(content), entry.name)
            say(f"app-data: {files} files of the last backup are known by their content")
        except (StoreError, CryptoError) as error:
            self.warnings.append(
                f"the index of the last backup cannot be read, so all files travel again: {error}"
            )

    def free_name(self, moment: datetime) -> str:
        """A name by the time of the start; moved on where the clock was set back."""
        taken = {name for _, history in self._read.values() for name in history.objects}
        taken |= {attempt.manifest_name for attempt in self._attempts.unfinished()}
        taken |= set(self._attempts.leftovers())
        while self._catalogue.manifest(backup_name(moment)) is not None or any(
            name.startswith(backup_name(moment) + ".") for name in taken
        ):
            moment += timedelta(seconds=1)
        return backup_name(moment)

    def usable_packs(self) -> set[str]:
        """The packs that the new backup may rely on."""
        return self._catalogue.usable_packs(self.histories) - set(self._attempts.leftovers())

    def usable_index(self) -> ObjectEntry | None:
        """The last backup's index, if some store that works holds it and none holds it damaged."""
        if self.predecessor is None:
            return None
        entry = self.predecessor.only("index")
        states = [
            known.state
            for kind in self.histories
            if (known := self._catalogue.believed(kind, entry.name)) is not None
        ]
        return entry if "confirmed" in states and "damaged" not in states else None

    def _warn_of(self, history: History) -> None:
        for name, sentence in history.damaged:
            self.warnings.append(f"{history.store}: {name} was ignored: {sentence}")
        for name in history.missing:
            self.warnings.append(
                f"{history.store}: {name} was stored there, and is gone without this program: look who else "
                "removes files there"
            )

    def _lineage(self) -> Lineage:
        found = [
            Found(kind, history.backups, history.foreign, [name for name, _ in history.damaged])
            for kind, (_, history) in self.histories.items()
        ]
        known = self._catalogue.lineage()
        if not lineage.is_lost(known, found):
            return lineage.continued(known, found, live_data=False)
        with database_helper.opened(self._config, self._state.spool) as helper:
            table = postgres.first_live_table(helper, self._config.database.name)
        own = lineage.continued(known, found, live_data=table is not None)
        self.warnings.append(
            "this Pi did not know any more which backups are its own (its catalogue is new), but its "
            f"database holds data and the stores hold backups that its key signed, the newest is "
            f"{own.previous}. It goes on from there as generation {own.generation}. Should another Pi make "
            "backups of this Loomio, switch one of the two off"
        )
        return own

    def _newest(self) -> Manifest | None:
        same = [
            summary
            for _, history in self.histories.values()
            for summary in history.backups
            if summary.instance == self.own.instance
        ]
        newest = max(same, key=lambda summary: summary.order, default=None)
        if newest is not None:
            return self._catalogue.load(newest)
        # Its store may be away, or new.
        return None if self.own.previous is None else self._catalogue.manifest(self.own.previous)
