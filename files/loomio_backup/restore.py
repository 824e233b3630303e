"""`loomio-backup restore`: database and files come back beside the live ones, are compared, and take their
place.

Nothing live is touched before everything is in and checked. A damaged backup is passed over for the one
before it (when the newest was asked for). From the switch on, an interrupted restore is finished by running
it again.
"""

import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loomio_backup import (
    bundle,
    clock,
    docker,
    incremental,
    postgres,
    restore_database,
    restore_journal,
    restore_switch,
)
from loomio_backup.access import open_stores
from loomio_backup.appdata import Totals, resolve_roots
from loomio_backup.catalogue import Catalogue, Lineage
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.docker import Helper
from loomio_backup.errors import DamagedObject, ManifestError, RestoreError, WrongKey
from loomio_backup.history import History, Reader
from loomio_backup.keys import Keys, Rings
from loomio_backup.manifest import Manifest
from loomio_backup.progress import Stopwatch, Ticker, bytes_text, say, seconds_text
from loomio_backup.restore_choice import (
    Candidate,
    Wish,
    candidates,
    confirm,
    next_generation,
    read_histories,
)
from loomio_backup.restore_fetch import Fetcher
from loomio_backup.restore_files import Staging, remove_staged
from loomio_backup.restore_journal import Journal
from loomio_backup.restore_preflight import read_settings, require_identity, require_room
from loomio_backup.state import StateDirectory

__all__ = ["Wish", "run"]


def run(config: Config, credentials: Credentials, wish: Wish) -> None:
    """Restore one backup, or finish the restore that was interrupted. Raises AgentError."""
    state = StateDirectory(config.state_directory)
    with state.locked("a restore"), Catalogue(state.catalogue) as catalogue:
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        _Restore(config, credentials, wish, state, catalogue).make()


class _Restore:
    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        wish: Wish,
        state: StateDirectory,
        catalogue: Catalogue,
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._wish = wish
        self._state = state
        self._catalogue = catalogue
        self._watch = Stopwatch()
        self._keys = Keys(None)
        self._rings: Rings = []

    def make(self) -> None:
        journal = restore_journal.load(self._state.restore_journal)
        if journal is not None and journal.state == "switching":
            say(f"finishing the interrupted restore of {journal.backup}")
            self._switch(journal)
            return
        reader = Reader(self._config, self._credentials, self._state, self._catalogue)
        self._keys = reader.keys
        require_identity(self._config, self._keys)
        stores = open_stores(self._config, self._credentials)
        histories = read_histories(stores, reader, self._wish.store)
        self._rings = [(stores[kind], history.objects) for kind, history in histories.items()]
        choice = candidates(self._wish, stores, histories)
        if self._is_done(journal, choice[0], histories):
            say(f"{choice[0].summary.name} was restored here already, and nothing was backed up since.")
            return
        with self._helper() as helper:
            self._refuse_live_data(helper)
            confirm(self._wish, choice[0])
            self._state.restore_result.unlink(missing_ok=True)
            self._watch.lap("choose")
            journal = self._prepare_first_undamaged(helper, choice, histories)
        self._switch(journal)

    def _is_done(
        self, journal: Journal | None, candidate: Candidate, histories: Mapping[str, History]
    ) -> bool:
        """An unattended restore may simply be started again after it succeeded."""
        if journal is None or journal.state != "done" or not self._wish.unattended:
            return False
        newer = next_generation(histories, None, candidate.summary.instance) > journal.generation
        return (
            candidate.summary.name == journal.backup
            and not newer
            and not self._wish.replace_live_data
            and self._state.restore_result.exists()
        )

    def _refuse_live_data(self, helper: Helper) -> None:
        if self._wish.replace_live_data:
            return
        database = self._config.database.name
        table = postgres.first_live_table(helper, database)
        if table is not None:
            raise RestoreError(
                f"this Pi holds data: the table {table} of {database} has rows. Nothing was restored, "
                "and the data is untouched. Is this the right Pi? To replace its data (it is kept aside), "
                "add --replace-live-data."
            )

    def _prepare_first_undamaged(
        self, helper: Helper, choice: list[Candidate], histories: Mapping[str, History]
    ) -> Journal:
        passed_over = []
        for candidate in choice:
            try:
                return self._prepare(helper, candidate, histories)
            except (DamagedObject, ManifestError, WrongKey) as error:
                passed_over.append(f"{candidate.summary.name}: {error}")
                say(f"{candidate.summary.name} cannot be restored: {error}")
        raise RestoreError(
            f"no backup could be restored. Nothing live was changed. {' '.join(passed_over)} "
            "If another store has copies, name it with --store; loomio-backup list shows what there is."
        )

    def _prepare(self, helper: Helper, candidate: Candidate, histories: Mapping[str, History]) -> Journal:
        """Everything up to the switch; what was made beside is removed again when it fails."""
        manifest = self._catalogue.load(candidate.summary)
        age = (clock.now() - manifest.snapshot_at).total_seconds()
        say(f"restoring {manifest.name}, whose data is {seconds_text(max(0.0, age))} old")
        journal = self._journal(manifest, candidate, histories)
        restore_journal.save(self._state.restore_journal, journal)
        try:
            restore_database.drop_leftovers(helper)
            journal.roots = self._roots(manifest)
            remove_staged(journal.roots)
            require_room(self._config, manifest, candidate.stores, journal.roots, self._state.spool)
            identities = self._keys.for_backup(manifest, self._rings)
            fetcher = Fetcher(candidate.stores, self._state.spool, identities)

            settings = read_settings(self._config, manifest, fetcher)
            journal.phases["settings"] = self._watch.lap("settings")
            restore_database.restore_beside(helper, journal.new, manifest, settings, fetcher)
            journal.phases["database"] = seconds = self._watch.lap("database")
            say(
                f"database: {len(manifest.database.tables)} tables, {manifest.database.rows} rows restored "
                f"beside and compared in {seconds_text(seconds)}"
            )
            totals = self._files(journal, manifest, fetcher)
            journal.phases["files"] = seconds = self._watch.lap("files")
            say(
                f"app-data: {totals.files} files, {bytes_text(totals.bytes)} staged and compared "
                f"in {seconds_text(seconds)}"
            )
            journal.files, journal.bytes = totals.files, totals.bytes
            journal.objects_fetched, journal.bytes_fetched = fetcher.objects, fetcher.bytes
            database = self._config.database.name
            journal.keep_aside = restore_database.has_tables(helper, database)
            journal.writers = sorted({found.service for found in restore_switch.writers(self._config)})
            journal.state = "switching"
            # From here on there is only forward.
            restore_journal.save(self._state.restore_journal, journal)
        except BaseException:
            restore_database.drop_leftovers(helper)
            remove_staged(journal.roots)
            raise
        return journal

    def _journal(self, manifest: Manifest, candidate: Candidate, histories: Mapping[str, History]) -> Journal:
        id_ = secrets.token_hex(4)
        now = clock.now()
        return Journal(
            id=id_,
            state="preparing",
            backup=manifest.name,
            stores=[store.kind for store in candidate.stores],
            instance=manifest.instance,
            generation=next_generation(histories, self._catalogue.lineage(), manifest.instance),
            snapshot_at=manifest.snapshot_at,
            started_at=now,
            live=self._config.database.name,
            new=restore_database.NEW_PREFIX + id_,
            aside=f"loomio_before_{now:%Y%m%d_%H%M%S}",
            tables=len(manifest.database.tables),
            rows=manifest.database.rows,
            phases=dict(self._watch.phases),
        )

    def _roots(self, manifest: Manifest) -> dict[str, Path]:
        """Where the backup's app-data belongs; other sources are left alone.

        A volume that does not exist yet is made as Compose would make it.
        """
        sources = [source for source in self._config.app_data if source.name in manifest.app_data.sources]
        for source in sources:
            if source.volume is not None and docker.volume_mountpoint(source.volume) is None:
                docker.create_volume(self._config.project, source.volume)
        return resolve_roots(sources)

    def _files(self, journal: Journal, manifest: Manifest, fetcher: Fetcher) -> Totals:
        scratch = self._state.spool / "index.sqlite"
        staging = Staging(journal.roots, journal.id, scratch)
        try:
            with fetcher.content(manifest.only("index")) as source:
                staging.load(source)
            # So that the next backup knows these files by their content, and need not carry them again.
            incremental.load_index(self._catalogue, staging.files(), manifest.only("index").name)
            staging.require_space()
            staging.prepare()
            entries = manifest.packs()
            names = staging.packs()
            ticker = Ticker("app-data")
            for number, name in enumerate(names, start=1):
                if name not in entries:
                    raise DamagedObject(f"the index needs {name}, which {manifest.name} does not list.")
                with fetcher.content(entries[name]) as source:
                    staging.extract(name, source)
                ticker.tick(f"{number} of {len(names)} packs", number / len(names))
            return staging.finish()
        finally:
            staging.close()
            scratch.unlink()

    def _switch(self, journal: Journal) -> None:
        """What was restored takes the place of what is live, and this Pi the lead. Can be repeated."""
        kept: dict[str, str] = {}
        restore_switch.remove_writers(self._config)
        with self._helper() as helper:
            restore_switch.switch_database(helper, journal)
        for name, root in journal.roots.items():
            before = restore_switch.switch_files(root, journal.id)
            if before is not None:
                kept[name] = str(before)
                say(f"switch: the {name} files that were here are kept in {before}")
        # The first backup of the new generation tells an old Pi, should it still live, to stop.
        self._catalogue.set_lineage(Lineage(journal.instance, journal.generation, 0, journal.backup))
        journal.phases["switch"] = self._watch.lap("switch")
        journal.state = "done"
        restore_journal.write_result(self._state.restore_result, journal, kept)
        restore_journal.save(self._state.restore_journal, journal)
        say(
            f"{journal.backup} is restored: {journal.rows} rows, {journal.files} files "
            f"({bytes_text(journal.bytes)}), {seconds_text(sum(journal.phases.values()))}"
        )
        # Unattended, whoever started us starts the app when all else is ready for it.
        if journal.writers and not self._wish.unattended:
            self._start_stack()

    def _start_stack(self) -> None:
        say("starting the stack")
        directory = self._config.stack_directory
        command = ["docker", "compose", "up", "-d"]
        done = subprocess.run(command, cwd=directory, capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RestoreError(
                "everything is restored, but the stack did not start: "
                f"{done.stderr.decode(errors='replace').strip()}. Look into it in {directory}, then type: "
                "docker compose up -d"
            )

    @contextmanager
    def _helper(self) -> Iterator[Helper]:
        config = self._config
        container = docker.service_container(config.project, config.database.service)
        work = self._state.spool / "helper"
        work.mkdir(mode=0o700)
        password = bundle.database_password(config.stack_env_file)
        with docker.helper(config.project, container, config.database.user, password, work) as helper:
            postgres.wait_until_up(helper)
            yield helper
        work.rmdir()
