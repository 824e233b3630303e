"""The data as it was when the writers stopped, put aside where the new version cannot reach it.

The database itself is renamed, and the new version works on a copy of it. Of the files every one gets a
second name (a hard link) in a directory of the same root: the new version may add, replace and remove files,
and the old ones are still there (file_record.py knows what they were like). Neither needs a key, a store or a
network to come back.
"""

import os
import shutil
import time

from loomio_backup import docker, room
from loomio_backup.backup.appdata import OWN_PREFIX, is_reserved, resolve_roots
from loomio_backup.config import Config
from loomio_backup.database import postgres
from loomio_backup.database.postgres import MAINTENANCE_DATABASE
from loomio_backup.database.psql import Session, identifier, literal, session
from loomio_backup.docker import Helper
from loomio_backup.errors import UpdateError
from loomio_backup.restore import restore_database, restore_switch
from loomio_backup.state import StateDirectory, sync_directory
from loomio_backup.update import file_record
from loomio_backup.update.file_record import Record
from loomio_backup.update.update_journal import Journal

KEPT = OWN_PREFIX.decode() + "update-"
_PATIENCE_SECONDS = 60


def require_room(config: Config, helper: Helper, copies: int = 1) -> None:
    """Raise RestoreError without room for so many copies of the database beside it."""
    with session(helper, MAINTENANCE_DATABASE) as sql:
        size = sql.value(f"SELECT to_json(pg_database_size({literal(config.database.name)}))")
    container = docker.service_container(config.project, config.database.service)
    room.require_restore("what an update needs", {docker.data_directory(container): int(size) * copies})


def put_database_aside(helper: Helper, journal: Journal) -> None:
    """Rename the database, and give the new version a copy under the name that it had."""
    live, original = identifier(journal.live), identifier(journal.original)
    with session(helper, MAINTENANCE_DATABASE) as sql:
        properties = postgres.database_properties(sql, journal.live)
        sql.execute(f"ALTER DATABASE {live} ALLOW_CONNECTIONS false")
        _end_sessions(sql, journal.live)
        sql.execute(f"ALTER DATABASE {live} RENAME TO {original}")
        # Without a pass through SQL: as fast as the disk.
        restore_database.make_database(sql, journal.live, properties, template=journal.original)


def bring_database_back(helper: Helper, journal: Journal) -> None:
    """Let the original have its name again; what the new version made of the copy is dropped. Can be
    repeated.
    """
    live, original = identifier(journal.live), identifier(journal.original)
    with session(helper, MAINTENANCE_DATABASE) as sql:
        if postgres.database_exists(sql, journal.original):
            if postgres.database_exists(sql, journal.live):
                sql.execute(f"DROP DATABASE {live} WITH (FORCE)")
            sql.execute(f"ALTER DATABASE {original} RENAME TO {live}")
        sql.execute(f"ALTER DATABASE {live} ALLOW_CONNECTIONS true")


def let_database_go(helper: Helper, journal: Journal) -> None:
    """Remove the original: the new version has proved itself, and what people write goes to the copy."""
    with session(helper, MAINTENANCE_DATABASE) as sql:
        sql.execute(f"DROP DATABASE IF EXISTS {identifier(journal.original)} WITH (FORCE)")


def _end_sessions(sql: Session, database: str) -> None:
    sessions = f"pg_catalog.pg_stat_activity WHERE datname = {literal(database)}"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while sql.value(f"SELECT to_json(count(*)) FROM {sessions}"):  # noqa: S608
        if time.monotonic() > deadline:
            raise UpdateError(f"somebody stays connected to the database {database}.")
        sql.execute(f"SELECT to_json(pg_terminate_backend(pid)) FROM {sessions}")  # noqa: S608
        time.sleep(0.1)


def find_roots(config: Config, journal: Journal) -> None:
    """Where the files are, and what their roots look like."""
    present = [
        source
        for source in config.app_data
        if source.volume is None or docker.volume_mountpoint(source.volume) is not None
    ]
    journal.roots = resolve_roots(present)
    journal.dress = {name: restore_switch.attributes(root) for name, root in journal.roots.items()}


def link_files(state: StateDirectory, journal: Journal) -> int:
    """Give every file of the roots its second name, and write down what it is like; returns how many there
    are.
    """
    count = 0
    file_record.remove(state)
    place = file_record.place(state, journal)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        record = Record(file)
        for name, root in journal.roots.items():
            kept = root / (KEPT + journal.id)
            kept.mkdir(mode=0o700)
            for child in os.listdir(os.fsencode(root)):  # noqa: PTH208 - bytes stay bytes
                if not is_reserved(child):
                    count += _link(os.fsencode(root), child, os.fsencode(kept), name, record)
            sync_directory(root)
    os.sync()
    return count


def _link(root: bytes, path: bytes, kept: bytes, name: str, record: Record) -> int:
    """One file, or a directory with all that is below it; `path` is below the root."""
    source, target = root + b"/" + path, kept + b"/" + path
    if not os.path.isdir(source) or os.path.islink(source):  # noqa: PTH112, PTH114
        os.link(source, target, follow_symlinks=False)
        record.add(name, path, os.lstat(target))
        return 1
    os.mkdir(target, 0o700)  # noqa: PTH102
    names = os.listdir(source)  # noqa: PTH208
    count = sum(_link(root, path + b"/" + child, kept, name, record) for child in names)
    status = os.stat(source)  # noqa: PTH116
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)  # noqa: PTH101
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    return count


def bring_files_back(journal: Journal) -> None:
    """Let the files as they were take the place of what is there; what the new version added goes. Can be
    repeated.
    """
    for name, root in journal.roots.items():
        kept = root / (KEPT + journal.id)
        if journal.linked:
            before = restore_switch.switch_files(root, journal.id, kept.name, journal.dress[name])
            if before is not None:
                shutil.rmtree(before)
        elif kept.exists():
            # The new version never ran: they were only being linked.
            shutil.rmtree(kept)


def let_files_go(state: StateDirectory, journal: Journal) -> None:
    """Remove the second names."""
    file_record.remove(state)
    for root in journal.roots.values():
        kept = root / (KEPT + journal.id)
        if kept.exists():
            shutil.rmtree(kept)
