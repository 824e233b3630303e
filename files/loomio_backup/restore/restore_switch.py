"""The switch: what was restored beside takes the place of what is live. Every step can be repeated.

Databases are exchanged by renaming both in one transaction, files by renaming the children of each mount's
root. What was live is kept: the database under a dated name, the files in a directory of the same root.
"""

import os
import time
from pathlib import Path

from loomio_backup import docker
from loomio_backup.backup.appdata import OWN_PREFIX, is_reserved
from loomio_backup.config import Config
from loomio_backup.database import postgres
from loomio_backup.database.postgres import MAINTENANCE_DATABASE
from loomio_backup.database.psql import Session, SqlError, identifier, literal, session
from loomio_backup.docker import Container, Helper
from loomio_backup.errors import RestoreError
from loomio_backup.progress import say
from loomio_backup.restore.restore_files import STAGED
from loomio_backup.restore.restore_journal import Journal, Root
from loomio_backup.state import sync_directory

_ARRIVING = OWN_PREFIX.decode() + "arriving-"
BEFORE = OWN_PREFIX.decode() + "before-"
_PATIENCE_SECONDS = 60


def writers(config: Config) -> list[Container]:
    """The containers that may write: all of the project but the services that are to be kept."""
    return [
        container
        for container in docker.containers(config.project)
        if container.service not in config.keep_services
    ]


def remove_writers(config: Config) -> None:
    """Remove these containers, so that no reboot starts them in the middle of the switch."""
    found = writers(config)
    if found:
        say(f"switch: removing the containers of {', '.join(container.service for container in found)}")
        docker.remove_containers(found)


def switch_database(helper: Helper, journal: Journal) -> None:
    """Put the new database in the place of the live one; an old one without tables is dropped."""
    with session(helper, MAINTENANCE_DATABASE) as sql:
        if postgres.database_exists(sql, journal.new):
            if postgres.database_exists(sql, journal.live):
                _exchange(sql, journal)
            else:
                sql.execute(f"ALTER DATABASE {identifier(journal.new)} RENAME TO {identifier(journal.live)}")
        if not postgres.database_exists(sql, journal.aside):
            return
        if journal.keep_aside:
            sql.execute(f"ALTER DATABASE {identifier(journal.aside)} ALLOW_CONNECTIONS true")
            say(f"switch: the database that was here is kept as {journal.aside}")
        else:
            sql.execute(f"DROP DATABASE {identifier(journal.aside)} WITH (FORCE)")


def _exchange(sql: Session, journal: Journal) -> None:
    live, new, aside = (identifier(name) for name in (journal.live, journal.new, journal.aside))
    sql.execute(f"ALTER DATABASE {live} ALLOW_CONNECTIONS false")
    names = f"({literal(journal.live)}, {literal(journal.new)})"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    sessions = f"pg_catalog.pg_stat_activity WHERE datname IN {names}"
    while sql.value(f"SELECT to_json(count(*)) FROM {sessions}"):  # noqa: S608
        if time.monotonic() > deadline:
            sql.execute(f"ALTER DATABASE {live} ALLOW_CONNECTIONS true")
            raise RestoreError(
                f"somebody stays connected to the database {journal.live}, so it was not replaced. It is as "
                "it was; the restored one lies beside it. Run the restore again to finish."
            )
        sql.execute(f"SELECT to_json(pg_terminate_backend(pid)) FROM {sessions}")  # noqa: S608
        time.sleep(0.1)
    try:
        sql.execute(
            f"BEGIN; ALTER DATABASE {live} RENAME TO {aside}; ALTER DATABASE {new} RENAME TO {live}; COMMIT"
        )
    except SqlError as error:
        raise RestoreError(
            f"the databases could not be exchanged. {error} The live one is as it was, but refuses "
            "connections; run the restore again to finish."
        ) from error


def switch_files(
    root: Path, id_: str, staged_as: str | None = None, dress: Root | None = None
) -> Path | None:
    """Put the staged children of a mount's root in the place of the live ones.

    `staged_as`: the name of the directory that holds them, if not the restore's own; `dress`: the owner, mode
    and time that the root gets, if not that directory's. Returns the directory that keeps what was there, or
    None when there was nothing.
    """
    staged = root / (staged_as or STAGED + id_)
    arriving, before = root / (_ARRIVING + id_), root / (BEFORE + id_)
    if staged.exists():
        before.mkdir(mode=0o700, exist_ok=True)
        move_children(root, before)
        if dress is not None:
            dress_as(staged, dress)
        # From here on the root's children are the new ones: the other name says so after an interruption.
        staged.rename(arriving)
        sync_directory(root)
    if arriving.exists():
        dress = attributes(arriving)
        move_children(arriving, root)
        if before.exists() and not any(before.iterdir()):
            before.rmdir()
        arriving.rmdir()
        dress_as(root, dress)
        sync_directory(root)
    return before if before.exists() else None


def attributes(directory: Path) -> Root:
    """What `switch_files` gives a root back."""
    status = directory.stat()
    return Root(
        uid=status.st_uid, gid=status.st_gid, mode=status.st_mode & 0o7777, mtime_ns=status.st_mtime_ns
    )


def dress_as(directory: Path, as_it_was: Root) -> None:
    """Give a directory owner, mode and time."""
    os.chown(directory, as_it_was.uid, as_it_was.gid)
    directory.chmod(as_it_was.mode)
    os.utime(directory, ns=(as_it_was.mtime_ns, as_it_was.mtime_ns))


def move_children(source: Path, target: Path) -> None:
    """Rename everything in a directory into another one of the same file system, but what is ours."""
    with os.scandir(os.fsencode(source)) as listing:
        names = [entry.name for entry in listing if not is_reserved(entry.name)]
    for name in names:
        (source / os.fsdecode(name)).rename(target / os.fsdecode(name))
    sync_directory(target)
