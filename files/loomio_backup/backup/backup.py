"""`loomio-backup run`: one backup, from "may I?" to what follows its success.

The order is the promise: files, then the database in one snapshot, then files again, so that nothing which
the dump mentions is missed and nothing purged in between is lost. Objects go to the first store as they are
finished, and from there to the others; the manifest comes last, and only into a store that confirmed every
object. Old backups go only after a new one is safe.
"""

import contextlib
import os

from loomio_backup import clock, docker, room
from loomio_backup.access import open_stores
from loomio_backup.backup.attempt import Attempts
from loomio_backup.backup.capture import Capture, Recipients
from loomio_backup.backup.dump import Dump
from loomio_backup.backup.publication import Publication
from loomio_backup.backup.replication import Replication
from loomio_backup.backup.sources import Sources
from loomio_backup.backup.survey import Survey
from loomio_backup.catalogue import lineage
from loomio_backup.catalogue.catalogue import Catalogue, Summary
from loomio_backup.catalogue.history import Reader
from loomio_backup.catalogue.manifest import DatabaseContent, Manifest
from loomio_backup.command.completion import Completion
from loomio_backup.config import Config
from loomio_backup.credentials import SIGNING_KEY, Credentials
from loomio_backup.encryption import crypto, legacy
from loomio_backup.encryption.rotate import settle_where_due
from loomio_backup.errors import BackupError, CatalogueError
from loomio_backup.progress import Stopwatch, bytes_text, say, seconds_text
from loomio_backup.restore import restore_journal
from loomio_backup.restore.aftermath import Aftermath
from loomio_backup.retention.leftovers import Leftovers
from loomio_backup.retention.pins import Pin, Pins
from loomio_backup.retention.prune import Pruner
from loomio_backup.state import StateDirectory
from loomio_backup.update import update_journal
from loomio_backup.version import VERSION


def run(
    config: Config,
    credentials: Credentials,
    label: str | None = None,
    pin: bool = False,
    wait: bool = False,
) -> Manifest:
    """Make one backup; with a label, or pinned, it goes to every store. With `wait`, what is running now may
    finish first. Raises AgentError when it is not complete in every store that takes part.
    """
    state = StateDirectory(config.state_directory)
    with state.locked("a backup", wait), Catalogue(state.catalogue) as catalogue:
        return within(config, credentials, state, catalogue, label, pin)


def within(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    label: str | None = None,
    pin: bool = False,
    safety: bool = False,
) -> Manifest:
    """The same for whoever holds the lock. `safety`: of what is live before a restore replaces it: no backup
    goes for it, and that something was lost already is no reason against it.
    """
    number = catalogue.begin_run("run")
    try:
        backup = _Backup(config, credentials, state, catalogue, label, pin, safety)
        manifest = backup.make()
    except BaseException as error:
        # What happened matters more than that it could not be noted: the next run notes it, too.
        with contextlib.suppress(CatalogueError):
            catalogue.end_run(number, "failed", None, _reason(error))
        raise
    problem = backup.problem
    catalogue.end_run(number, "partial" if problem else "complete", manifest.name, problem)
    if problem is not None:
        raise BackupError(problem)
    return manifest


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return "it was told to end before it was done"
    return str(error) or type(error).__name__


class _Backup:
    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        state: StateDirectory,
        catalogue: Catalogue,
        label: str | None,
        pin: bool,
        safety: bool,
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._state = state
        self._catalogue = catalogue
        self._label = label
        self._pin = pin
        self._safety = safety
        self._signing_key = credentials.required(SIGNING_KEY)
        self._legacy_key = legacy.key(config, credentials)
        self._watch = Stopwatch()
        stores = open_stores(config, credentials)
        self._publication = Publication.of(config, stores, catalogue, everywhere=pin or label is not None)
        self._attempts = Attempts(catalogue)
        self._leftovers = Leftovers(self._publication, catalogue, state)
        self._reader = reader = Reader(config, credentials, state, catalogue)
        sources = Sources(stores, catalogue, state.spool)
        self._pruner = Pruner(config, credentials, state, catalogue, reader)
        self._survey = Survey(config, state, catalogue, reader, self._publication, sources, self._pruner)
        self._pins = Pins(config, credentials, state, catalogue, reader)
        drive = config.stores.drive
        parallel = drive.parallel_uploads if drive else 1
        self._replication = Replication(self._publication.sender, sources, catalogue, parallel)
        self._clock_known = True
        self._started_at = clock.now()
        self.problem: str | None = None
        """What is left to do although the backup is safe, as a sentence."""

    def make(self) -> Manifest:
        self._refuse_half_restored()
        docker.remove_leftover_helpers(self._config.project)
        self._wait_for_clock()
        self._leftovers.end()
        self._survey.look()
        self._pin_adopted()
        if not self._safety:
            self._survey.make_room()
        # Only now: what a killed run left in the spool is gone, and so are old backups on the same disk.
        room.require_spool(self._state.spool)
        self._publication.settle()
        self._survey.learn_index()

        name = self._survey.free_name(self._started_at)
        self._attempts.begin(name)
        say(f"backup {name} started")
        capture = Capture(
            name,
            self._config,
            self._state,
            self._catalogue,
            self._legacy_key,
            self._survey.usable_packs(),
            self._publication.store,
        )
        for warning in self._survey.warnings:
            capture.warn(warning)
        if not self._safety:
            self._publication.sender.make_room = lambda store, size: self._survey.make_more_room(
                store, size, capture.scan.packs()
            )
        dump = self._content(capture)
        manifest = self._manifest(name, capture, dump)
        new = self._publish(manifest, dump)
        self._follow_up(manifest, new)
        return manifest

    def _refuse_half_restored(self) -> None:
        update_journal.refuse_unfinished(self._state, "no backup was made")
        restore_journal.refuse_unfinished(self._state.restore_journal, "no backup was made", BackupError)

    def _wait_for_clock(self) -> None:
        seconds = self._config.clock_wait_seconds
        self._clock_known = seconds == 0 or clock.wait_synchronised(seconds)
        if not self._clock_known:
            self._survey.warnings.append(
                "the clock of this Pi is not synchronised: the backup's name may tell a wrong time, and no "
                "old backup is removed this time. Look with timedatectl"
            )
        self._started_at = clock.now()

    def _content(self, capture: Capture) -> Dump:
        """Take everything from this Pi. The very first backup, where only Drive can keep it, begins with what
        is worth most: the files may take days.
        """
        last = self._survey.predecessor
        capture.find_files()
        if not self._safety:
            lineage.refuse_empty_sources(last, capture.scan.totals_by_source())
        if last is not None or "local" in self._publication.working:
            capture.pack_files("files")
            dump = self._database(capture)
            capture.find_files(again=True)
            capture.pack_files("files_again", again=True)
        else:
            dump = self._database(capture)
            capture.find_files(again=True)
            capture.pack_files("files")
        capture.index(self._survey.usable_index())
        return dump

    def _database(self, capture: Capture) -> Dump:
        last = self._survey.predecessor
        dump = capture.database(expected=0 if last is None else last.only("database").stored_size)
        if not self._safety:
            lineage.refuse_sudden_emptiness(last, dump.tables)
        capture.store_database(dump)
        return dump

    def _manifest(self, name: str, capture: Capture, dump: Dump) -> Manifest:
        own, config = self._survey.own, self._config
        missing, app_data = capture.attachments_missing(), capture.app_data()
        stack = capture.configuration(dump)
        return Manifest(
            name=name,
            instance=own.instance,
            generation=own.generation,
            sequence=max(own.sequence, self._attempts.last_sequence(own.generation)) + 1,
            previous=own.previous,
            # systemd names every unit's run so; a person's shell has no such name.
            kind="scheduled" if "INVOCATION_ID" in os.environ else "manual",
            label=self._label,
            started_at=self._started_at,
            snapshot_at=dump.snapshot_at,
            finished_at=clock.now(),
            host=config.host,
            program_version=VERSION,
            signed_by=crypto.fingerprint(config.signing_public_key),
            stack=stack,
            database=DatabaseContent(
                name=config.database.name,
                postgresql_version=dump.version,
                server_version_num=dump.version_num,
                schema_migration=dump.schema_migration,
                tables=dump.tables,
            ),
            app_data=app_data,
            attachments_missing=missing,
            objects=capture.objects(),
            warnings=capture.warnings,
            durations=capture.watch.phases,
        )

    def _publish(self, manifest: Manifest, dump: Dump) -> Summary:
        completion = Completion(
            self._catalogue,
            self._publication,
            self._replication,
            self._pins,
            self._survey.histories,
            self._state.spool,
        )
        reason = f"labelled {self._label}" if self._label else "pinned when it was made"
        recipients = Recipients.of(self._config, self._state).and_own
        new = completion.publish(manifest, self._signing_key, recipients, reason if self._pin else None)
        completion.renew_recovery_page(manifest, dump)
        return new

    def _pin_adopted(self) -> None:
        """Pin what was to be pinned when its run was interrupted."""
        for backup, reason in self._attempts.pins_due():
            pin, pinned = Pin(backup=backup, reason=reason, pinned_at=clock.now(), by="person"), False
            for kind, (store, history) in self._survey.histories.items():
                if any(summary.name == backup for summary in history.backups):
                    with self._publication.giving_up(kind):
                        self._pins.put(store, history, pin)
                        pinned = True
            if pinned:
                self._attempts.pinned(backup)

    def _follow_up(self, manifest: Manifest, new: Summary) -> None:
        self._publication.sender.make_room = None  # nothing goes for older backups
        self._leftovers.remove()
        aftermath = Aftermath(
            self._config,
            self._catalogue,
            self._publication,
            self._replication,
            self._pins,
            self._pruner,
            self._survey.histories,
        )
        aftermath.catch_up(new)
        self._leftovers.remove_copies()
        aftermath.look_for_ruins(manifest)
        if self._clock_known and not self._safety:
            aftermath.prune()
        say(
            f"backup {manifest.name} is complete in: {', '.join(sorted(self._publication.holders))}. "
            f"{manifest.database.rows} rows, {manifest.app_data.files} files, "
            f"{bytes_text(manifest.stored_bytes)} stored, {seconds_text(self._watch.total)}"
        )
        failed = self._publication.failed | settle_where_due(
            self._config,
            self._credentials,
            self._reader.keys,
            {kind: self._survey.histories[kind] for kind in self._publication.working},
            self._publication.sender,
            self._catalogue,
        )
        if failed:
            reasons = " ".join(f"{kind}: {reason}" for kind, reason in failed.items())
            self.problem = (
                f"{manifest.name} is complete and safe in {', '.join(sorted(self._publication.holders))}, "
                f"but something is left to do. {reasons}"
            )
