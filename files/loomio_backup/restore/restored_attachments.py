"""Whether every attachment of the database has its file, once a restore has laid both (or one) in place.

What is missing is told and no reason to fail: the backup is whole as its manifest describes it, and all else
in it is wanted. Which content a file has was compared when it was written (SHA-256).
"""

import errno
import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from loomio_backup import docker
from loomio_backup.backup.attachments import SOURCE
from loomio_backup.config import Config
from loomio_backup.database import postgres
from loomio_backup.database.postgres import MAINTENANCE_DATABASE
from loomio_backup.database.psql import session
from loomio_backup.docker import Helper
from loomio_backup.drill.drill_database import Blob, blobs
from loomio_backup.restore.restore_files import STAGED
from loomio_backup.restore.restore_journal import Journal

_NAMED = 3


@dataclass
class Matched:
    """How many attachments the database has, and how many of them have no file, one that was missing already
    when the backup was made, and one of another size than the row says; `examples`: some keys of the first
    and the last.
    """

    attachments: int = 0
    lost: int = 0
    known: int = 0
    odd: int = 0
    examples: list[str] = field(default_factory=list)


def match(rows: Iterable[Blob], directory: Path, known: Collection[str]) -> Matched:
    """Look for the file of every attachment below `directory`; `known`: keys without a file at the source."""
    found, baseline = Matched(), frozenset(known)
    for blob in rows:
        found.attachments += 1
        size = _size(directory / blob.key[:2] / blob.key[2:4] / blob.key)
        if size is None and blob.key in baseline:
            found.known += 1
            continue
        if size is None:
            found.lost += 1
        elif blob.size not in (None, size):
            found.odd += 1
        else:
            continue
        if len(found.examples) < _NAMED:
            found.examples.append(blob.key)
    return found


def _size(place: Path) -> int | None:
    try:
        status = os.stat(place, follow_symlinks=False)  # noqa: PTH116
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def sentence(found: Matched, parts: Collection[str]) -> str:
    """What was found, for people and for the report."""
    if not found.attachments:
        return "attachments: the database has none"
    good = found.attachments - found.lost - found.odd - found.known
    said = f"attachments: {good} of {found.attachments} rows of the database have their file, of their size"
    if found.known:
        said += f"; {found.known} had none already when the backup was made"
    if not found.lost and not found.odd:
        return said
    some = ", ".join(found.examples) + (" …" if found.lost + found.odd > len(found.examples) else "")
    wrong = [f"{found.lost} have no file"] if found.lost else []
    wrong += [f"{found.odd} have one of another size"] if found.odd else []
    said = f"warning: {said}, but {' and '.join(wrong)} ({some}). "
    if len(parts) == 1:
        other = "files" if "database" in parts else "database"
        return f"{said}Only the {next(iter(parts))} came from the backup; the {other} stayed as before"
    return f"{said}Look for them in an older backup: loomio-backup extract --file KEY OUT --backup NAME"


def look(config: Config, helper: Helper, journal: Journal, known: Collection[str]) -> str | None:
    """The sentence about a restore that laid its parts beside: what it brings, or where it brings only one of
    them, what stays live. None where this Pi keeps no attachments in files, or there is no such database.
    """
    directory = _directory(config, journal)
    database = journal.new if "database" in journal.parts else journal.live
    with session(helper, MAINTENANCE_DATABASE) as sql:
        if directory is None or not postgres.database_exists(sql, database):
            return None
    return sentence(match(blobs(helper, database), directory, known), journal.parts)


def _directory(config: Config, journal: Journal) -> Path | None:
    if "files" in journal.parts:
        root = journal.roots.get(SOURCE)
        return None if root is None else root / (STAGED + journal.id)
    for source in config.app_data:
        if source.name == SOURCE:
            root = docker.volume_mountpoint(source.volume) if source.volume else source.directory
            return root if root is not None and root.is_dir() else None
    return None
