"""`loomio-backup run`: one backup, from "may I?" to the signed manifest.

The order is the promise: files, then the database in one snapshot, then files again, so that nothing which
the dump mentions is missed and nothing purged in between is lost. Objects go to every store as they are
finished; the manifest comes last, and only into a store that confirmed every object.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loomio_backup import (
    appdata,
    bundle,
    crypto,
    docker,
    index,
    legacy,
    lineage,
    packs,
    postgres,
    recovery_md,
    restore_journal,
    room,
    stores,
)
from loomio_backup.attachments import Attachments
from loomio_backup.catalogue import Catalogue, Lineage
from loomio_backup.config import Config
from loomio_backup.credentials import SIGNING_KEY, Credentials
from loomio_backup.docker import Helper
from loomio_backup.dump import Dump, dump_database
from loomio_backup.errors import BackupError, StoreError
from loomio_backup.history import History, Reader
from loomio_backup.legacy import Legacy
from loomio_backup.lineage import Found
from loomio_backup.manifest import (
    AppDataContent,
    DatabaseContent,
    Manifest,
    ObjectEntry,
    ObjectKind,
    Stack,
    backup_name,
    seal,
)
from loomio_backup.objects import Digests, hash_file, write_object
from loomio_backup.progress import Stopwatch, bytes_text, say, seconds_text
from loomio_backup.publication import Publication
from loomio_backup.scan import Scan
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store
from loomio_backup.streams import BlockReader
from loomio_backup.version import VERSION


def run(config: Config, credentials: Credentials) -> Manifest:
    """Make one backup. Raises AgentError when it is not complete in every store."""
    state = StateDirectory(config.state_directory)
    with state.locked("a backup"), Catalogue(state.catalogue) as catalogue:
        _refuse_half_restored(state)
        state.empty_spool()
        room.require_spool(state.spool)
        docker.remove_leftover_helpers(config.project)
        return _Backup(config, credentials, state, catalogue).make()


def _refuse_half_restored(state: StateDirectory) -> None:
    journal = restore_journal.load(state.restore_journal)
    if journal is not None and journal.state == "switching":
        raise BackupError(
            f"no backup was made: the restore of {journal.backup} was interrupted between database and "
            "files. All backups are untouched. Finish it first: loomio-backup restore --newest --unattended"
        )


def open_stores(config: Config, credentials: Credentials) -> dict[str, Store]:
    """The configured stores, with their credentials."""
    return stores.open_stores(config, credentials.drive() if config.stores.drive else None)


class _Backup:
    def __init__(
        self, config: Config, credentials: Credentials, state: StateDirectory, catalogue: Catalogue
    ) -> None:
        self._config = config
        self._state = state
        self._catalogue = catalogue
        self._signing_key = credentials.required(SIGNING_KEY)
        self._legacy_key = legacy.key(config, credentials)
        self._reader = Reader(config, credentials, state, catalogue)
        local = config.stores.local
        self._publication = Publication(
            open_stores(config, credentials), catalogue, local.path if local else None
        )
        # Manifests and indexes are for this Pi's own eyes too: it may hold no identity.
        own_key = crypto.recipient_of(state.catalogue_identity())
        self._recipients = list(config.recipients)
        self._and_own = [*config.recipients, own_key]
        self._started_at = datetime.now(UTC)
        self._watch = Stopwatch()
        self._entries: list[ObjectEntry] = []
        self._warnings: list[str] = []
        self._dump_size = 0
        """Bytes that the last dump took in the spool; the next one will take about as many."""

    def make(self) -> Manifest:
        histories = self._histories()
        own = self._lineage(histories)
        # Written down before anything is stored: should we die on the way, the history is still ours.
        self._catalogue.set_lineage(own)
        name = self._free_name(histories)
        predecessor = self._predecessor(own, histories)
        if predecessor is not None:
            self._dump_size = predecessor.only("database").stored_size
            self._publication.reserve = max(entry.stored_size for entry in predecessor.objects)
        # Before the files are packed: without a database that would be in vain.
        docker.service_container(self._config.project, self._config.database.service)
        scan = Scan(self._catalogue, appdata.resolve_roots(self._config.app_data))
        say(f"backup {name} started")

        self._files(scan, "files")
        dump, attachments = self._database(name)
        self._files(scan, "files_again")
        lineage.refuse_sudden_emptiness(predecessor, dump.tables, scan.totals().files)
        missing = attachments.without_file(scan)
        if missing:
            self._warn(f"attachments without a file: {len(missing)}")
        self._index(scan)
        stack = self._config_object(name, dump)

        manifest = self._manifest(name, own, dump, scan, missing, stack)
        self._publish(manifest, dump)
        return manifest

    def _histories(self) -> list[History]:
        histories = []
        for kind, store in self._publication.working.items():
            try:
                history = self._reader.read(store)
            except StoreError as error:
                self._publication.give_up(kind, error)
                continue
            for object_name, sentence in history.damaged:
                self._warn(f"{kind}: {object_name} was ignored: {sentence}")
            histories.append(history)
        return histories

    def _lineage(self, histories: list[History]) -> Lineage:
        found = [Found(h.store, h.backups, h.foreign, [name for name, _ in h.damaged]) for h in histories]
        known = self._catalogue.lineage()
        if not lineage.is_lost(known, found):
            return lineage.continued(known, found, live_data=False)
        with self._helper() as helper:
            table = postgres.first_live_table(helper, self._config.database.name)
        own = lineage.continued(known, found, live_data=table is not None)
        self._warn(
            "this Pi did not know any more which backups are its own (its catalogue is new), but its "
            f"database holds data and the stores hold backups that its key signed, the newest is "
            f"{own.previous}. It goes on from there as generation {own.generation}. Should another Pi make "
            "backups of this Loomio, switch one of the two off"
        )
        return own

    def _free_name(self, histories: list[History]) -> str:
        """A name by the time of the start; moved on where the clock was set back."""
        taken = {object_name for history in histories for object_name in history.objects}
        moment = self._started_at
        while any(object_name.startswith(backup_name(moment) + ".") for object_name in taken):
            moment += timedelta(seconds=1)
        return backup_name(moment)

    def _predecessor(self, own: Lineage, histories: list[History]) -> Manifest | None:
        known = [summary for history in histories for summary in history.backups]
        same = [summary for summary in known if summary.instance == own.instance]
        newest = max(same, key=lambda summary: summary.order, default=None)
        return None if newest is None else self._catalogue.load(newest)

    def _files(self, scan: Scan, phase: str) -> None:
        scan.walk()
        for lot in packs.batches(scan):
            name = packs.pack_name()
            path = self._state.spool / name
            room.require_spool(self._state.spool, sum(entry.size for entry in lot))
            digests, contents = packs.write_pack(name, lot, scan.roots, path, self._recipients)
            scan.set_packed(contents.packed, contents.vanished, contents.changed)
            with self._catalogue.transaction():
                self._catalogue.add_packed(
                    (e.path, name, e.size, e.mtime_ns, e.ctime_ns, e.inode, e.sha256) for e in contents.packed
                )
            self._store(name, "pack", path, digests, self._recipients)
            size = bytes_text(sum(e.size for e in contents.packed))
            say(f"app-data: {size} in {len(contents.packed)} files packed and stored")
        totals = scan.totals()
        seconds = self._watch.lap(phase)
        say(f"app-data: {totals.files} files, {bytes_text(totals.bytes)}, {seconds_text(seconds)}")

    @contextmanager
    def _helper(self) -> Iterator[Helper]:
        config = self._config
        container = docker.service_container(config.project, config.database.service)
        work = self._state.spool / "helper"
        work.mkdir(mode=0o700)
        password = bundle.database_password(config.stack_env_file)
        with docker.helper(config.project, container, config.database.user, password, work) as helper:
            yield helper
        work.rmdir()

    def _database(self, name: str) -> tuple[Dump, Attachments]:
        path = self._state.spool / f"{name}.dump.zst.age"
        attachments = Attachments(self._catalogue)
        database = self._config.database.name
        room.require_spool(self._state.spool, self._dump_size)
        second = None
        if self._legacy_key is not None:
            second = Legacy(self._state.spool / (name + legacy.SUFFIX), self._legacy_key)
        with self._helper() as helper:
            dump = dump_database(helper, database, path, self._recipients, attachments.remember, second)
        seconds = self._watch.lap("database")
        say(
            f"database: {len(dump.tables)} tables, {sum(dump.tables.values())} rows, "
            f"{bytes_text(dump.digests.plain_size)} ({bytes_text(dump.digests.stored_size)} encrypted) "
            f"in {seconds_text(seconds)}"
        )
        self._store(path.name, "database", path, dump.digests, self._recipients)
        if second is not None and dump.legacy is not None:
            # Its key is made of a passphrase, which has no fingerprint: one would help to guess it.
            self._store(second.destination.name, "legacy", second.destination, dump.legacy, [])
        self._watch.lap("store_database")
        return dump, attachments

    def _index(self, scan: Scan) -> None:
        name = index.index_name()
        path = self._state.spool / name
        digests = index.write_index(scan, path, self._and_own)
        self._store(name, "index", path, digests, self._and_own)
        self._watch.lap("index")

    def _config_object(self, name: str, dump: Dump) -> Stack:
        config = self._config
        found = docker.containers(config.project)
        stack = bundle.describe_stack(config.stack_directory, found)
        facts = {
            "backup": name,
            "host": config.host,
            "program_version": VERSION,
            "postgresql_version": dump.version,
            "database": config.database.model_dump(),
            "stack": stack.model_dump(),
        }
        collected = bundle.collect(config.stack_env_file, config.config_files, found, facts, dump)
        for warning in collected.warnings:
            self._warn(warning)
        path = self._state.spool / f"{name}.config.tar.zst.age"
        digests = write_object(BlockReader(iter([collected.tar])), path, self._recipients)
        self._store(path.name, "config", path, digests, self._recipients)
        self._watch.lap("config")
        return stack

    def _manifest(
        self, name: str, own: Lineage, dump: Dump, scan: Scan, missing: list[str], stack: Stack
    ) -> Manifest:
        totals = scan.totals()
        for path in scan.changed:
            self._warn(f"{path} changed each time it was read; the backup holds one of its states")
        for path in scan.skipped:
            self._warn(f"{path} is neither a file, a directory nor a link, so it is not in the backup")
        return Manifest(
            name=name,
            instance=own.instance,
            generation=own.generation,
            sequence=own.sequence + 1,
            previous=own.previous,
            # systemd names every unit's run so; a person's shell has no such name.
            kind="scheduled" if "INVOCATION_ID" in os.environ else "manual",
            label=None,
            started_at=self._started_at,
            snapshot_at=dump.snapshot_at,
            finished_at=datetime.now(UTC),
            host=self._config.host,
            program_version=VERSION,
            signed_by=crypto.fingerprint(self._config.signing_public_key),
            stack=stack,
            database=DatabaseContent(
                name=self._config.database.name,
                postgresql_version=dump.version,
                server_version_num=dump.version_num,
                schema_migration=dump.schema_migration,
                tables=dump.tables,
            ),
            app_data=AppDataContent(
                sources=sorted(scan.roots),
                files=totals.files,
                directories=totals.directories,
                symlinks=totals.symlinks,
                bytes=totals.bytes,
                changed_while_read=scan.changed,
            ),
            attachments_missing=missing,
            objects=self._entries,
            warnings=self._warnings,
            durations=self._watch.phases,
        )

    def _publish(self, manifest: Manifest, dump: Dump) -> None:
        path = self._state.spool / manifest.manifest_name
        digests = seal(manifest, self._signing_key, self._and_own, path)
        self._publication.store(path.name, path, digests)
        with self._catalogue.transaction():
            self._catalogue.add_manifest(manifest, digests.stored_sha256, digests.stored_md5)
            self._catalogue.set_lineage(
                Lineage(manifest.instance, manifest.generation, manifest.sequence, manifest.name)
            )
        path.unlink()
        complete = sorted(self._publication.working)
        self._recovery_page(manifest, dump)
        say(
            f"backup {manifest.name} is complete in: {', '.join(complete)}. {manifest.database.rows} rows, "
            f"{manifest.app_data.files} files, {bytes_text(manifest.stored_bytes)} stored, "
            f"{seconds_text(self._watch.total)}"
        )
        if self._publication.failed:
            reasons = " ".join(f"{kind}: {reason}" for kind, reason in self._publication.failed.items())
            raise BackupError(
                f"{manifest.name} is complete and safe in {', '.join(complete)}, "
                f"but something is left to do. {reasons}"
            )

    def _recovery_page(self, manifest: Manifest, dump: Dump) -> None:
        text = recovery_md.recovery_text(manifest, dump.properties)
        path = self._state.spool / recovery_md.NAME
        path.write_text(text, encoding="utf-8")
        size, sha256, md5 = hash_file(path)
        self._publication.replace(path.name, path, Digests(size, sha256, size, sha256, md5))
        path.unlink()

    def _store(
        self, name: str, kind: ObjectKind, path: Path, digests: Digests, recipients: list[str]
    ) -> None:
        entry = ObjectEntry.of(name, kind, digests, recipients)
        self._publication.object(entry, path)
        self._entries.append(entry)

    def _warn(self, text: str) -> None:
        say(f"warning: {text}")
        self._warnings.append(text)
