"""Everything of a restore up to the switch: one backup is fetched, laid beside what is live, and compared.

What was made beside is removed again when it fails; nothing live is touched here.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loomio_backup import clock, docker
from loomio_backup.backup import incremental
from loomio_backup.backup.appdata import Totals, resolve_roots
from loomio_backup.backup.bundle import Bundle
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.config import Config
from loomio_backup.database import people
from loomio_backup.docker import Helper
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import DamagedObject
from loomio_backup.progress import Stopwatch, Ticker, bytes_text, say, seconds_text
from loomio_backup.restore import restore_database, restore_journal, restore_switch, restored_attachments
from loomio_backup.restore.restore_choice import Candidate, Wish
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.restore.restore_files import Staging, remove_staged
from loomio_backup.restore.restore_journal import Before, Journal
from loomio_backup.restore.restore_preflight import read_settings, require_room
from loomio_backup.state import StateDirectory

_Done = tuple[str, float, str]
"""A phase, its seconds, and a sentence about what was compared."""


class Preparation:
    """One backup on its way back. `fetcher` gives its objects, from `stores`."""

    def __init__(
        self,
        config: Config,
        state: StateDirectory,
        catalogue: Catalogue,
        candidate: Candidate,
        manifest: Manifest,
        identities: list[Identity],
        watch: Stopwatch,
    ) -> None:
        self._config = config
        self._state = state
        self._catalogue = catalogue
        self._watch = watch
        self.manifest = manifest
        self.stores = candidate.stores
        self._stop = threading.Event()
        self.fetcher = Fetcher(candidate.stores, state.spool, identities, stop=self._stop)

    def journal(self, wish: Wish, generation: int) -> Journal:
        """A new journal for it."""
        id_, now, manifest = secrets.token_hex(4), clock.now(), self.manifest
        return Journal(
            id=id_,
            state="preparing",
            backup=manifest.name,
            wish=wish.id,
            parts=wish.parts,
            leave_stopped=wish.leave_stopped,
            stores=[store.kind for store in self.stores],
            instance=manifest.instance,
            generation=generation,
            snapshot_at=manifest.snapshot_at,
            started_at=now,
            live=self._config.database.name,
            new=restore_database.NEW_PREFIX + id_,
            aside=f"loomio_before_{now:%Y%m%d_%H%M%S}",
            tables=len(manifest.database.tables),
            rows=manifest.database.rows,
            phases=dict(self._watch.phases),
            lineage_before=Before.of(self._catalogue.lineage()),
            stack=stack_of(manifest),
        )

    def make(self, helper: Helper, journal: Journal) -> None:
        """Lay everything beside. Afterwards the journal says `switching`: there is only forward. One that
        says `clearing` is not written before: until then, the restore that began to remove can be begun
        again.

        Raises DamagedObject, ManifestError, WrongKey (another backup may do), RestoreError.
        """
        manifest = self.manifest
        age = (clock.now() - manifest.snapshot_at).total_seconds()
        say(f"restoring {manifest.name}, whose data is {seconds_text(max(0.0, age))} old")
        if journal.state == "preparing":
            restore_journal.save(self._state.restore_journal, journal)
        try:
            restore_database.drop_leftovers(helper)
            self.find_roots(journal)
            remove_staged(journal.roots)
            self._require_room(journal)
            if len(journal.parts) == 2:
                done = self._side_by_side(helper, journal)
            elif "database" in journal.parts:
                done = [self._database(helper, journal, self._settings(journal))]
            else:
                done = [self._files(journal, self.fetcher)]
            for phase, seconds, compared in done:
                journal.phases[phase] = seconds
                journal.compared.append(compared)
            known = self.manifest.attachments_missing
            if (told := restored_attachments.look(self._config, helper, journal, known)) is not None:
                journal.compared.append(told)
            self._watch.lap("beside")
            journal.objects_fetched += self.fetcher.objects
            journal.bytes_fetched += self.fetcher.bytes
            found = {container.service for container in restore_switch.writers(self._config)}
            journal.writers = sorted(found | set(journal.writers))
            journal.state = "switching"
            restore_journal.save(self._state.restore_journal, journal)
        except BaseException:
            gone = restore_database.dropped_after_failure(helper)
            remove_staged(journal.roots)
            if journal.state == "preparing" and gone:
                journal.state = "left"
                restore_journal.save(self._state.restore_journal, journal)
            raise

    def find_roots(self, journal: Journal) -> None:
        """Where the backup's app-data belongs; other sources are left alone.

        A volume that does not exist yet is made as Compose would make it.
        """
        if "files" not in journal.parts:
            return
        wanted = self.manifest.app_data.sources
        sources = [source for source in self._config.app_data if source.name in wanted]
        for source in sources:
            if source.volume is not None and docker.volume_mountpoint(source.volume) is None:
                docker.create_volume(self._config.project, source.volume)
        journal.roots = resolve_roots(sources)
        for name, root in journal.roots.items():
            journal.roots_before.setdefault(name, restore_switch.attributes(root))

    def _require_room(self, journal: Journal) -> None:
        spool = self._state.spool
        require_room(self._config, self.manifest, self.stores, journal.roots, spool, journal.parts)

    def _settings(self, journal: Journal) -> Bundle:
        """The config object's content, which has to fit before anything is laid beside."""
        watch = Stopwatch()
        settings = read_settings(self._config, self.manifest, self.fetcher)
        journal.phases["settings"] = watch.lap("settings")
        return settings

    def _side_by_side(self, helper: Helper, journal: Journal) -> list[_Done]:
        """Database and files at a time: PostgreSQL fills a core of its own, and Drive need not wait for it.

        The files in this thread, which has the catalogue, with a fetcher and stores of their own.
        """
        settings = self._settings(journal)
        stores = [store.clone() for store in self.stores]
        beside = Fetcher(stores, self._state.spool, self.fetcher.identities)
        with ThreadPoolExecutor(1, "database") as pool:
            working = pool.submit(self._database, helper, journal, settings)
            try:
                files = self._files(journal, beside, lambda: _raise_failure(working))
                database = working.result()
            except BaseException:
                self._stop.set()
                # With it goes whoever fills it, or builds its indexes.
                restore_database.dropped_after_failure(helper)
                raise
        journal.objects_fetched, journal.bytes_fetched = beside.objects, beside.bytes
        return [database, files]

    def _database(self, helper: Helper, journal: Journal, settings: Bundle) -> _Done:
        manifest, watch = self.manifest, Stopwatch()
        restore_database.restore_beside(helper, journal.new, manifest, settings, self.fetcher, self._stop)
        seconds = watch.lap("database")
        say(
            f"database: {len(manifest.database.tables)} tables, {manifest.database.rows} rows restored "
            f"beside and compared in {seconds_text(seconds)}"
        )
        journal.keep_aside = restore_database.has_tables(helper, self._config.database.name)
        compared = (
            f"database: each of {len(manifest.database.tables)} tables has as many rows as were counted for "
            f"the backup ({manifest.database.rows} in all); {people.look(helper, journal.new).sentence}"
        )
        return "database", seconds, compared

    def _files(self, journal: Journal, fetcher: Fetcher, check: Callable[[], None] = lambda: None) -> _Done:
        """`check` is called now and then; what it raises ends the work."""
        watch = Stopwatch()
        totals = self._stage(journal, fetcher, check)
        seconds = watch.lap("files")
        say(
            f"app-data: {totals.files} files, {bytes_text(totals.bytes)} staged and compared "
            f"in {seconds_text(seconds)}"
        )
        journal.files, journal.bytes = totals.files, totals.bytes
        missing = len(self.manifest.attachments_missing)
        compared = f"files: each of {totals.files} has the content (SHA-256) that was backed up" + (
            f"; attachments whose file was missing at the source already: {missing}" if missing else ""
        )
        return "files", seconds, compared

    def _stage(self, journal: Journal, fetcher: Fetcher, check: Callable[[], None]) -> Totals:
        index = self.manifest.only("index").name

        def learn(staging: Staging) -> None:
            # So that the next backup knows these files by their content, and need not carry them again.
            incremental.load_index(self._catalogue, staging.files(), index)

        return stage(self.manifest, fetcher, journal.roots, journal.id, self._state.spool, learn, check)


def stage(
    manifest: Manifest,
    fetcher: Fetcher,
    roots: Mapping[str, Path],
    id_: str,
    spool: Path,
    learn: Callable[[Staging], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> Totals:
    """Write every file of a backup beside what is in the roots; `learn` may look at the index first, and
    `check` is called before each pack.
    """
    scratch = spool / "index.sqlite"
    staging = Staging(roots, id_, scratch)
    try:
        with fetcher.content(manifest.only("index")) as source:
            staging.load(source)
        learn(staging)
        staging.require_space()
        staging.prepare()
        entries = manifest.packs()
        names = staging.packs()
        ticker = Ticker("app-data")
        for number, name in enumerate(names, start=1):
            check()
            if name not in entries:
                raise DamagedObject(f"the index needs {name}, which {manifest.name} does not list.")
            with fetcher.content(entries[name]) as source:
                staging.extract(name, source)
            ticker.tick(f"{number} of {len(names)} packs", number / len(names))
        return staging.finish()
    finally:
        staging.close()
        scratch.unlink()


def _raise_failure(other: "Future[_Done]") -> None:
    """Raise what the other thread's work ended with, if it failed."""
    if other.done():
        other.result()


def stack_of(manifest: Manifest) -> dict[str, Any]:
    """What the backup ran with, as a report of its restore says it."""
    images = {service: image.reference for service, image in manifest.stack.images.items()}
    # By these a version can be had again whose tag has moved on.
    digests = {service: image.digests for service, image in manifest.stack.images.items()}
    return {"commit": manifest.stack.commit, "images": images, "digests": digests}
