"""`loomio-backup export FILE`: one backup as one file that opens with age, zstd and tar, and nothing of ours.

FILE appears only when it is whole and on the disk: until then it has a hidden name beside.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loomio_backup import room
from loomio_backup.access import open_stores
from loomio_backup.backup.index_table import IndexTable
from loomio_backup.backup.reading import place
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.catalogue.objects import write_object
from loomio_backup.command.export_tar import ExportTar
from loomio_backup.command.listing import Row, merged
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.encryption import crypto
from loomio_backup.encryption.keys import Keys
from loomio_backup.errors import DamagedObject, ExportError, ManifestError, StoreError
from loomio_backup.progress import Stopwatch, bytes_text, say, seconds_text
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store, disk
from loomio_backup.streams import BlockReader

_PER_ENTRY = 2048
"""Bytes of a tar that a file, directory or link takes besides its content, at most, for ordinary names."""


@dataclass(frozen=True)
class Wish:
    """What the command line says: a backup's name (None: the newest), a store (None: any)."""

    destination: Path
    backup: str | None
    store: str | None


def run(config: Config, credentials: Credentials, wish: Wish) -> int:
    """The verb. Raises AgentError; then there is no FILE."""
    destination = wish.destination.absolute()
    _check_place(destination)
    state = StateDirectory(config.state_directory)
    with Catalogue(state.catalogue) as catalogue, place(state, "export") as directory:
        reader = Reader(config, credentials, state, catalogue)
        _require_identity(reader.keys)
        found = _histories(config, credentials, reader, wish.store)
        row = _chosen(wish, merged([history for _, history in found.values()]))
        manifest = catalogue.load(row.summary)
        rings = [(store, history.objects) for store, history in found.values()]
        identities = reader.keys.for_backup(manifest, rings)
        _require_room(manifest, destination, directory)
        stores = [found[kind][0] for kind in row.stores]
        nothing = f"{destination} was not written. All backups are as they were"
        fetcher = Fetcher(stores, directory, identities, nothing)
        _write(manifest, fetcher, directory, destination, config.recipients)
    return 0


def _check_place(destination: Path) -> None:
    if os.path.lexists(destination):
        raise ExportError(
            f"{destination} exists already and was left as it is. Give another name, or move it away."
        )
    if not destination.parent.is_dir():
        raise ExportError(f"there is no directory {destination.parent} to write {destination.name} into.")


def _require_identity(keys: Keys) -> None:
    if keys.newest is None:
        raise ExportError(
            "this Pi holds no identity (offline key), so it cannot open its own backups. Nothing was "
            "written. On the operator's machine, which has the key: fetch the backups with loomio-pi pull, "
            "then type loomio-pi export"
        )


def _histories(
    config: Config, credentials: Credentials, reader: Reader, only: str | None
) -> Mapping[str, tuple[Store, History]]:
    stores = open_stores(config, credentials)
    if only is not None and only not in stores:
        raise ExportError(f"no store {only} is configured. Nothing was written.")
    found: dict[str, tuple[Store, History]] = {}
    problems = []
    for kind, store in stores.items():
        if only in (None, kind):
            try:
                found[kind] = store, reader.read(store)
            except StoreError as error:
                problems.append(f"{kind}: {error}")
                say(f"passed over: {problems[-1]}")
    if not found:
        raise ExportError(f"no store can be read. Nothing was written. {' '.join(problems)}")
    return found


def _chosen(wish: Wish, rows: list[Row]) -> Row:
    if wish.backup is None and rows:
        return rows[0]
    for row in rows:
        if row.summary.name == wish.backup:
            return row
    wanted = f"no backup {wish.backup}" if wish.backup else "no backup"
    raise ExportError(f"there is {wanted} in the stores. Nothing was written. See loomio-backup list.")


def _require_room(manifest: Manifest, destination: Path, directory: Path) -> None:
    """Refuse what will not fit. On the disk of the Pi's own work its floor stays free."""
    content = manifest.app_data
    entries = content.files + content.directories + content.symlinks
    packs = sum(entry.stored_size for entry in manifest.packs().values())
    needed = min(packs, content.bytes) + entries * _PER_ENTRY
    needed += manifest.only("database").stored_size + manifest.only("config").stored_size
    shared = destination.parent.stat().st_dev == directory.stat().st_dev
    floor = room.FLOOR if shared else 0
    found = room.free(destination.parent)
    if found - needed < floor:
        raise ExportError(
            f"{destination} needs up to {bytes_text(needed)}, and its disk has {bytes_text(found)} free"
            f"{f', of which {bytes_text(floor)} have to stay free for the database' if floor else ''}. "
            "Nothing was written. Use a larger disk, or make room there."
        )


def _write(
    manifest: Manifest, fetcher: Fetcher, directory: Path, destination: Path, recipients: list[str]
) -> None:
    say(f"exporting {manifest.name}")
    watch = Stopwatch()
    partial = destination.with_name(f".{destination.name}.partial")
    index = IndexTable(directory / "index.sqlite")
    try:
        # Only one export writes at a time, so what is there was left by one that was killed.
        partial.unlink(missing_ok=True)
        tar = ExportTar(manifest, fetcher, index)
        digests = write_object(BlockReader(tar.blocks()), partial, recipients)
        _check_place(destination)
        partial.rename(destination)
        _sync(destination.parent)
    except (DamagedObject, ManifestError) as error:
        raise ExportError(
            f"{destination} was not written, because {manifest.name} is damaged: {error} Its backups are as "
            "they were. Name another backup with --backup; loomio-backup check --all --read-data tells which "
            "are whole."
        ) from error
    except OSError as error:
        raise ExportError(
            f"{destination} could not be written ({error.strerror or error}). What there was of it is "
            f"removed, and all backups are as they were. {_remedy(error)}, then run the same again."
        ) from error
    finally:
        index.close()
        partial.unlink(missing_ok=True)
    prints = ", ".join(crypto.fingerprint(one) for one in recipients)
    say(
        f"{destination} holds {manifest.name} ({bytes_text(digests.stored_size)}, SHA-256 "
        f"{digests.stored_sha256}, {seconds_text(watch.total)}), for the key {prints}. To open it: "
        f"age -d -i key.txt {destination.name} | zstd -d | tar -x"
    )


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk.sync_folder(handle)
    finally:
        os.close(handle)


def _remedy(error: OSError) -> str:
    if error.errno == errno.EFBIG:
        return "This disk takes no files of that size (FAT32 ends at 4 GB): format it as exFAT or ext4"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room on that disk, or use a larger one"
    return "Look after that disk"
