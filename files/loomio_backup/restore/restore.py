"""`loomio-backup restore`: database and files come back beside the live ones, are compared, and take their
place.

Nothing live is touched before everything is in and checked. A damaged backup is passed over for the one
before it (when the newest was asked for). From the switch on, an interrupted restore is finished by running
it again, or by itself (settle.py). `undo` takes it back.
"""

from collections.abc import Mapping

from loomio_backup import docker
from loomio_backup.access import open_stores
from loomio_backup.backup.appdata import has_files, resolve_roots
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.database import database_helper
from loomio_backup.database.postgres import first_live_table
from loomio_backup.docker import Helper
from loomio_backup.encryption.keys import Keys, Rings
from loomio_backup.errors import DamagedObject, ManifestError, RestoreError, WrongKey
from loomio_backup.progress import Stopwatch, say
from loomio_backup.restore import (
    restore_database,
    restore_journal,
    restore_safety,
    restore_streaming,
    restore_version,
)
from loomio_backup.restore.restore_choice import (
    Candidate,
    Wish,
    candidates,
    confirm,
    next_generation,
    read_histories,
    staleness,
    unreadable,
)
from loomio_backup.restore.restore_finish import finish
from loomio_backup.restore.restore_journal import BOTH, Journal, PassedOver
from loomio_backup.restore.restore_preflight import require_identity
from loomio_backup.restore.restore_prepare import Preparation
from loomio_backup.restore.restore_words import question
from loomio_backup.state import StateDirectory
from loomio_backup.update import update_journal

_REMEMBERED = 20
"""Backups of what was live that earlier restores made here: "the newest" means none of them."""

__all__ = ["BOTH", "Wish", "run", "within"]


def run(config: Config, credentials: Credentials, wish: Wish, wait: bool = False) -> None:
    """Restore one backup, or finish the restore that was interrupted. With `wait`, what is running now may
    finish first. Raises AgentError.
    """
    state = StateDirectory(config.state_directory)
    with state.locked("a restore", wait), Catalogue(state.catalogue) as catalogue:
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        within(config, credentials, wish, state, catalogue)


def within(
    config: Config, credentials: Credentials, wish: Wish, state: StateDirectory, catalogue: Catalogue
) -> None:
    """The same for whoever holds the lock, with an empty spool."""
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
        self._last = restore_journal.load(state.restore_journal)
        self._passed_over: list[PassedOver] = []
        self._stale: str | None = None
        self._safety = [] if self._last is None else self._last.safety[-_REMEMBERED:]
        # What is in its place and was not started yet still owes its writers their start.
        unfinished = self._last is not None and (self._last.state != "done" or self._last.start_due)
        self._begun_to_remove = self._last is not None and self._last.state == "clearing"
        self._writers = list(self._last.writers) if self._last is not None and unfinished else []
        self._ran = dict(self._last.ran) if self._last is not None and unfinished else {}

    def make(self) -> None:
        update_journal.refuse_unfinished(self._state, "nothing was restored")
        if self._last is not None and self._last.state == "switching":
            say(f"finishing the interrupted restore of {self._last.backup}")
            finish(self._config, self._state, self._catalogue, self._last, self._watch)
            return
        self._refuse_less()
        reader = Reader(self._config, self._credentials, self._state, self._catalogue)
        self._keys = reader.keys
        require_identity(self._config, self._keys)
        stores = open_stores(self._config, self._credentials)
        histories = read_histories(stores, reader, self._wish.store)
        self._rings = [(stores[kind], history.objects) for kind, history in histories.items()]
        own = self._catalogue.lineage()
        choice = candidates(self._config, self._wish, stores, histories, own, self._safety)
        live = self._live_data()
        # What was restored may have been lost since.
        if live is not None and self._is_done(choice[0], histories):
            say(f"{choice[0].summary.name} was restored here already, and nothing was backed up since.")
            return
        self._warn_of_staleness(choice[0])
        self._ask(choice[0], live)
        self._state.restore_result.unlink(missing_ok=True)
        if live is not None and not self._begun_to_remove:
            # What is half removed was backed up before, when it was whole.
            self._back_up_first()
        self._watch.lap("choose")
        with database_helper.opened(self._config, self._state.spool) as helper:
            journal = self._prepare_first_undamaged(helper, choice, histories)
        if self._passed_over:
            restore_safety.pin_newer(
                self._config,
                self._credentials,
                self._state,
                self._catalogue,
                reader,
                stores,
                histories,
                journal.backup,
                [one.backup for one in self._passed_over],
            )
        finish(self._config, self._state, self._catalogue, journal, self._watch)

    def _refuse_less(self) -> None:
        """What was removed to make room has to come back, whichever backup it comes from."""
        last = self._last
        if last is None or not self._begun_to_remove or set(last.parts) <= set(self._wish.parts):
            return
        raise RestoreError(
            f"the restore of {last.backup} was interrupted when it had begun to remove what was live, so "
            f"this one has to bring all of that back ({' and '.join(last.parts)}). Nothing was changed, and "
            "all backups are untouched. Leave out --only; or type: loomio-backup settle"
        )

    def _is_done(self, candidate: Candidate, histories: Mapping[str, History]) -> bool:
        """An unattended restore may simply be started again after it succeeded."""
        last = self._last
        if last is None or last.state != "done" or not self._wish.unattended:
            return False
        newer = next_generation(histories, None, candidate.summary.instance) > last.generation
        return (
            candidate.summary.name == last.backup
            and set(self._wish.parts) <= set(last.parts)
            and not newer
            and not self._wish.replace_live_data
            and self._state.restore_result.exists()
        )

    def _warn_of_staleness(self, candidate: Candidate) -> None:
        if self._wish.newest:
            self._stale = staleness(self._config, candidate)
            if self._stale is not None:
                say(self._stale)

    def _live_data(self) -> str | None:
        """Words for what of the live data would be replaced, or None when there is none."""
        if "database" in self._wish.parts:
            with database_helper.opened(self._config, self._state.spool) as helper:
                table = first_live_table(helper, self._config.database.name)
            if table is not None:
                return f"the table {table} of {self._config.database.name} has rows"
        else:
            present = [
                source
                for source in self._config.app_data
                if source.volume is None or docker.volume_mountpoint(source.volume) is not None
            ]
            for name, root in resolve_roots(present).items():
                if has_files(root):
                    return f"there are files in {name} ({root})"
        return None

    def _ask(self, candidate: Candidate, live: str | None) -> None:
        """Have the person who types this see what will happen; or refuse what was not said to be wanted."""
        if not self._wish.unattended:
            manifest = self._catalogue.load(candidate.summary)
            confirm(question(self._config, self._wish, manifest, live))
        elif live is not None and not self._wish.replace_live_data:
            raise RestoreError(
                f"this Pi holds data: {live}. Nothing was restored, and the data is untouched. Is this the "
                "right Pi? To replace its data (it is kept aside), add --replace-live-data."
            )

    def _back_up_first(self) -> None:
        made = restore_safety.back_up_first(
            self._config, self._credentials, self._wish, self._state, self._catalogue
        )
        if made is not None:
            self._safety.append(made)

    def _prepare_first_undamaged(
        self, helper: Helper, choice: list[Candidate], histories: Mapping[str, History]
    ) -> Journal:
        for candidate in choice:
            try:
                return self._prepare(helper, candidate, histories)
            except (DamagedObject, ManifestError, WrongKey) as error:
                name = candidate.summary.name
                self._passed_over.append(PassedOver(backup=name, reason=str(error)))
                say(f"{name} cannot be restored: {error}")
        reasons = " ".join(f"{one.backup}: {one.reason}" for one in self._passed_over)
        raise RestoreError(
            f"no backup could be restored. Nothing live was changed. {reasons} "
            "If another store has copies, name it with --store; loomio-backup list shows what there is."
        )

    def _prepare(self, helper: Helper, candidate: Candidate, histories: Mapping[str, History]) -> Journal:
        manifest = self._catalogue.load(candidate.summary)
        preparation = Preparation(
            self._config,
            self._state,
            self._catalogue,
            candidate,
            manifest,
            self._keys.for_backup(manifest, self._rings),
            self._watch,
        )
        journal = preparation.journal(
            self._wish, next_generation(histories, self._catalogue.lineage(), manifest.instance)
        )
        journal.safety, journal.stale = self._safety, self._stale
        journal.passed_over = [*self._unreadable_newer(manifest.name, histories), *self._passed_over]
        journal.writers = self._writers
        journal.ran = {**self._ran, **restore_version.running(self._config.project)}
        leave_other, app = self._wish.leave_other_version_stopped, self._config.app_service
        restore_version.settle_start(journal, manifest, app, leave_other=leave_other)
        if self._begun_to_remove:
            # Until the switch it stays known that what is live is not whole.
            journal.state = "clearing"
        if "database" in journal.parts:
            # Before anything is fetched; and in streaming mode before anything goes.
            restore_database.refuse_older_server(helper, manifest)
        if self._wish.streaming:
            restore_streaming.clear(self._config, self._state, helper, preparation, journal)
        preparation.make(helper, journal)
        return journal

    def _unreadable_newer(self, name: str, histories: Mapping[str, History]) -> list[PassedOver]:
        """Where the newest was asked for: what is newer by its name, and has no manifest that can be used."""
        if not self._wish.open_to_older or self._wish.before is not None:
            return []
        return [one for one in unreadable(histories.values()) if one.backup > name]
