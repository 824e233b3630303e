"""`loomio-backup extract`: one attachment or one table out of a backup, into a file; nothing else is
touched."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from loomio_backup import docker, room
from loomio_backup.access import open_stores
from loomio_backup.backup import packs, reading
from loomio_backup.backup.appdata import ScanEntry, bytes_of, text_of
from loomio_backup.backup.index import read_index
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.catalogue.objects import copy_object
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.database import database_helper
from loomio_backup.docker import WORK
from loomio_backup.errors import DamagedObject, RestoreError
from loomio_backup.progress import bytes_text, say
from loomio_backup.restore import appearing, restore_fed
from loomio_backup.restore.restore_choice import Candidate, Wish, candidates, read_histories
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.state import StateDirectory

_TABLE = f"""
{{
  pg_restore --exit-on-error --no-owner --no-privileges -n "$1" -t "$2" -f {WORK}/out
  status=$?
  test $status -ne 0 || cat >/dev/null
  exit $status
}} <{WORK}/restore
"""
_READ = 256 << 10


@dataclass(frozen=True)
class Part:
    """What is wanted: a file of the app-data (its path in a backup, or an attachment's key), or a table."""

    file: str | None
    table: str | None
    destination: Path


def run(config: Config, credentials: Credentials, wish: Wish, part: Part) -> int:
    """The verb. Raises AgentError; then there is no destination."""
    state = StateDirectory(config.state_directory)
    _require_place(part.destination)
    with chosen(config, credentials, state, wish, "extract") as (manifest, fetcher):
        if part.file is not None:
            _file(manifest, fetcher, part.file, part.destination)
        else:
            assert part.table is not None
            # The database's programs run in a helper, which only the holder of the lock may have.
            with state.locked("an extract", wait=True):
                state.empty_spool()
                docker.remove_leftover_helpers(config.project)
                _table(config, state, manifest, fetcher, part.table, part.destination)
        say(f"{part.destination} is written, out of {manifest.name}")
    return 0


@contextmanager
def chosen(
    config: Config, credentials: Credentials, state: StateDirectory, wish: Wish, verb: str
) -> Iterator[tuple[Manifest, Fetcher]]:
    """The backup that is wanted, and what gives its objects. Raises AgentError."""
    with reading.place(state, verb) as directory, Catalogue(state.catalogue) as catalogue:
        reader = Reader(config, credentials, state, catalogue)
        stores = open_stores(config, credentials)
        histories = read_histories(stores, reader, wish.store)
        candidate: Candidate = candidates(config, wish, stores, histories, catalogue.lineage())[0]
        manifest = catalogue.load(candidate.summary)
        rings = [(stores[kind], history.objects) for kind, history in histories.items()]
        identities = reader.keys.for_backup(manifest, rings)
        yield manifest, Fetcher(candidate.stores, directory, identities, "nothing was taken out")


def _require_place(destination: Path) -> None:
    if os.path.lexists(destination):
        raise RestoreError(f"{destination} exists already and was left as it is. Give another name.")
    if not destination.parent.is_dir():
        raise RestoreError(f"there is no directory {destination.parent} to write {destination.name} into.")


def _file(manifest: Manifest, fetcher: Fetcher, wanted: str, destination: Path) -> None:
    entry = _entry(manifest, fetcher, wanted)
    room.require_restore(wanted, {destination.parent: entry.size})
    assert entry.pack is not None
    with (
        appearing.new_file(destination) as out,
        fetcher.content(manifest.packs()[entry.pack]) as source,
        packs.damage_told(entry.pack),
    ):
        for path, _, content in packs.members(source):
            # A pack may also hold what a file was when it was still changing.
            if path == entry.path and _copied(content, out) == entry.sha256:
                say(f"{text_of(entry.path)}: {bytes_text(entry.size)}, compared")
                return
        raise DamagedObject(
            f"{entry.pack} does not hold {wanted} as the index describes it. Use another backup."
        )


def _entry(manifest: Manifest, fetcher: Fetcher, wanted: str) -> ScanEntry:
    """The one file of that path, or whose name is that key."""
    exact, key = bytes_of(wanted), b"/" + bytes_of(wanted)
    found: list[ScanEntry] = []
    with fetcher.content(manifest.only("index")) as source:
        for entry in read_index(source):
            if entry.pack is not None and (entry.path == exact or entry.path.endswith(key)):
                found.append(entry)
                if entry.path == exact:
                    return entry
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(text_of(entry.path) for entry in found[:5])
        raise RestoreError(
            f"{len(found)} files of {manifest.name} are called so: {names}. Give the whole path."
        )
    missing = any(wanted in one for one in manifest.attachments_missing)
    raise RestoreError(
        f"{manifest.name} has no file {wanted}"
        + (": it was missing at the source already when the backup was made" if missing else "")
        + ". A path begins with the source's name, such as storage/ab/cd/KEY; an attachment's key is in the "
        "table active_storage_blobs. Try an older backup: loomio-backup list"
    )


def _copied(content: IO[bytes], out: BinaryIO) -> str:
    """Write it from the beginning; its SHA-256 in hex."""
    out.seek(0)
    out.truncate()
    digest = hashlib.sha256()
    while block := content.read(_READ):
        digest.update(block)
        out.write(block)
    return digest.hexdigest()


def _table(
    config: Config,
    state: StateDirectory,
    manifest: Manifest,
    fetcher: Fetcher,
    wanted: str,
    destination: Path,
) -> None:
    schema, _, table = wanted.rpartition(".")
    schema = schema or "public"
    entry = manifest.only("database")
    rows = manifest.database.tables.get(f"{schema}.{table}")
    if rows is None:
        raise RestoreError(
            f"{manifest.name} has no table {schema}.{table}. loomio-backup show {manifest.name} names "
            "them all."
        )
    room.require_restore(wanted, {state.spool: entry.stored_size, destination.parent: entry.plain_size})
    with (
        database_helper.opened(config, state.spool) as helper,
        fetcher.file(entry) as path,
        appearing.new_file(destination) as out,
    ):
        content = restore_fed.fed(
            helper,
            _TABLE,
            schema,
            f"pg_restore could not take {wanted} out of {entry.name}",
            lambda sink: copy_object(path, fetcher.identities, sink),
            table,
            out=out,
        )
        if content != (entry.plain_size, entry.plain_sha256):
            raise DamagedObject(f"{entry.name} holds something else than the manifest says.")
    say(f"{schema}.{table}: {rows} rows, as SQL; to look at it in a database of its own, or to copy from")
