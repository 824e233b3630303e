"""What one backup consists of, taken from this Pi: each object is written into the spool, written down, and
stored as soon as it is finished.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loomio_backup import docker, room
from loomio_backup.backup import appdata, bundle, incremental, index, packs
from loomio_backup.backup.attachments import Attachments
from loomio_backup.backup.attempt import Attempts
from loomio_backup.backup.dump import Dump, dump_database
from loomio_backup.backup.scan import APP_DATA_BYTES, Scan
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import AppDataContent, ObjectEntry, ObjectKind, Stack
from loomio_backup.catalogue.objects import Digests, write_object
from loomio_backup.config import Config
from loomio_backup.database import database_helper
from loomio_backup.encryption import crypto, legacy
from loomio_backup.encryption.legacy import Legacy
from loomio_backup.progress import Stopwatch, bytes_text, say, seconds_text
from loomio_backup.state import StateDirectory
from loomio_backup.streams import BlockReader
from loomio_backup.version import VERSION

Store = Callable[[str, Path, Digests], None]
"""Stores a file of the spool under a name."""
_DUMP = ".dump.zst.age"


@dataclass(frozen=True)
class Recipients:
    """Who can open what (`age1…`): data is for the operator's keys; manifests and indexes are for this Pi's
    own eyes too, because it may hold no identity.
    """

    data: list[str]
    and_own: list[str]

    @classmethod
    def of(cls, config: Config, state: StateDirectory) -> "Recipients":
        """As the configuration says."""
        own = crypto.recipient_of(state.catalogue_identity())
        return cls(list(config.recipients), [*config.recipients, own])


class Capture:
    """The content of the backup `name`. `usable`: the packs that it may rely on; `entries`: what it needs."""

    def __init__(
        self,
        name: str,
        config: Config,
        state: StateDirectory,
        catalogue: Catalogue,
        legacy_key: bytes | None,
        usable: set[str],
        store: Store,
    ) -> None:
        self._name = name
        self._config = config
        self._spool = state.spool
        self._catalogue = catalogue
        self._recipients = Recipients.of(config, state)
        self._legacy_key = legacy_key
        self._usable = usable
        self._store = store
        self._attempts = Attempts(catalogue)
        # Before anything is packed: without a database that would be in vain.
        docker.service_container(config.project, config.database.service)
        self.scan = Scan(catalogue, appdata.resolve_roots(config.app_data))
        self._attachments = Attachments(catalogue)
        self._entries: list[ObjectEntry] = []
        self.warnings: list[str] = []
        self.watch = Stopwatch()

    def warn(self, text: str) -> None:
        """Say it, and keep it for the manifest."""
        say(f"warning: {text}")
        self.warnings.append(text)

    def find_files(self, again: bool = False) -> None:
        """Find all files; `again`: what came or changed since."""
        found = self.scan.walk()
        self._catalogue.set_meta(APP_DATA_BYTES, str(self.scan.totals().bytes))
        if again:
            say(
                f"app-data: since the first look {found.appeared} files appeared, {found.changed} changed, "
                f"{found.vanished} vanished"
            )

    def pack_files(self, phase: str, again: bool = False) -> None:
        """Pack the files whose content no usable pack holds."""
        reuse = incremental.assign_packs(self._catalogue, self.scan, self.scan.roots, self._usable)
        if not again:
            left = incremental.leave_sparse_packs(self._catalogue, self.scan)
            if left.packs:
                say(f"app-data: {left.packs} sparse packs are left behind, {bytes_text(left.bytes)} repacked")
        for lot in packs.batches(self.scan):
            self._pack(lot)
        totals, seconds = self.scan.totals(), self.watch.lap(phase)
        say(
            f"app-data: {totals.files} files, {bytes_text(totals.bytes)}, {reuse.files} of them are in "
            f"earlier packs, {seconds_text(seconds)}"
        )

    def _pack(self, lot: Sequence[appdata.ScanEntry]) -> None:
        name = packs.pack_name()
        path = self._spool / name
        room.require_spool(self._spool, packs.most_bytes(lot, self.scan.roots))
        digests, contents = packs.write_pack(name, lot, self.scan.roots, path, self._recipients.data)
        with self._catalogue.transaction():
            self.scan.set_packed(contents.packed, contents.vanished, contents.changed)
            if contents.packed:
                self._catalogue.add_packed(incremental.packed_rows(contents.packed))
                self._attempts.wrote(ObjectEntry.of(name, "pack", digests, self._recipients.data))
        if contents.packed:
            self._usable.add(name)
            self._store(name, path, digests)
            size = bytes_text(sum(entry.size for entry in contents.packed))
            say(f"app-data: {size} in {len(contents.packed)} files packed and stored")
        path.unlink()

    def database(self, expected: int) -> Dump:
        """Dump the database into the spool, where `expected` bytes need room. Nothing is stored yet."""
        room.require_spool(self._spool, expected)
        second = None
        if self._legacy_key is not None:
            second = Legacy(self._spool / (self._name + legacy.SUFFIX), self._legacy_key)
        with database_helper.opened(self._config, self._spool) as helper:
            dump = dump_database(
                helper,
                self._config.database.name,
                self._spool / (self._name + _DUMP),
                self._recipients.data,
                self._attachments.remember,
                second,
            )
        seconds = self.watch.lap("database")
        say(
            f"database: {len(dump.tables)} tables, {sum(dump.tables.values())} rows, "
            f"{bytes_text(dump.digests.plain_size)} ({bytes_text(dump.digests.stored_size)} encrypted) "
            f"in {seconds_text(seconds)}"
        )
        return dump

    def store_database(self, dump: Dump) -> None:
        """Store what `database` made."""
        self._keep(self._name + _DUMP, "database", dump.digests, self._recipients.data)
        if dump.legacy is not None:
            # Its key is made of a passphrase, which has no fingerprint: one would help to guess it.
            self._keep(self._name + legacy.SUFFIX, "legacy", dump.legacy, [])
        self.watch.lap("store_database")

    def index(self, last: ObjectEntry | None) -> None:
        """Store the index; or rely on that of the last backup (None: it may not be relied on), if it says the
        same.
        """
        recipients = self._recipients.and_own
        if last is not None and last.key_fingerprints == [crypto.fingerprint(text) for text in recipients]:
            size, sha256 = index.plain_digest(self.scan)
            if (last.plain_size, last.plain_sha256) == (size, sha256):
                self._entries.append(last)
                self.watch.lap("index")
                return
        name = index.index_name()
        digests = index.write_index(self.scan, self._spool / name, recipients)
        self._keep(name, "index", digests, recipients)
        self.watch.lap("index")

    def configuration(self, dump: Dump) -> Stack:
        """Store the config object; the version of the stack."""
        config = self._config
        found = docker.containers(config.project)
        stack = bundle.describe_stack(config.stack_directory, found)
        facts = {
            "backup": self._name,
            "host": config.host,
            "program_version": VERSION,
            "postgresql_version": dump.version,
            "database": config.database.model_dump(),
            "stack": stack.model_dump(),
        }
        collected = bundle.collect(config.stack_env_file, config.config_files, found, facts, dump)
        for warning in collected.warnings:
            self.warn(warning)
        name = f"{self._name}.config.tar.zst.age"
        source = BlockReader(iter([collected.tar]))
        digests = write_object(source, self._spool / name, self._recipients.data)
        self._keep(name, "config", digests, self._recipients.data)
        self.watch.lap("config")
        return stack

    def attachments_missing(self) -> list[str]:
        """Attachments that the dump mentions and that have no file."""
        missing = self._attachments.without_file(self.scan)
        if missing:
            self.warn(f"attachments without a file: {len(missing)}")
        return missing

    def app_data(self) -> AppDataContent:
        """What the index lists, for the manifest; what it could not list as it should is warned of."""
        for path in self.scan.changed:
            self.warn(f"{path} changed each time it was read; the backup holds one of its states")
        if self.scan.vanished:
            say(f"app-data: {self.scan.vanished} files vanished before they could be read")
        for path in self.scan.skipped:
            self.warn(f"{path} is neither a file, a directory nor a link, so it is not in the backup")
        totals = self.scan.totals()
        return AppDataContent(
            sources=sorted(self.scan.roots),
            files=totals.files,
            directories=totals.directories,
            symlinks=totals.symlinks,
            bytes=totals.bytes,
            changed_while_read=self.scan.changed,
            by_source=self.scan.totals_by_source(),
        )

    def objects(self) -> list[ObjectEntry]:
        """Every object that the backup needs."""
        entries = [self._catalogue.entry(pack) for pack in self.scan.packs()]
        return [*self._entries, *(entry for entry in entries if entry is not None)]

    def _keep(self, name: str, kind: ObjectKind, digests: Digests, recipients: Sequence[str]) -> None:
        entry = ObjectEntry.of(name, kind, digests, recipients)
        self._attempts.wrote(entry)
        self._store(name, self._spool / name, digests)
        (self._spool / name).unlink()
        self._entries.append(entry)
