"""`--streaming`: where the disk is too small for both, what is live goes before the backup comes.

It gives up what every other restore has: nothing is kept aside, nothing can be undone, and the app is down
from the beginning to the end. So what is live is in a pinned backup by then, and every object of the backup
that is to come has been read and compared once.
"""

import os
import shutil
from pathlib import Path

from loomio_backup import docker
from loomio_backup.backup.appdata import is_reserved
from loomio_backup.config import Config
from loomio_backup.database.postgres import MAINTENANCE_DATABASE, database_exists
from loomio_backup.database.psql import identifier, literal, session
from loomio_backup.docker import Helper
from loomio_backup.progress import Ticker, say
from loomio_backup.restore import restore_journal, restore_switch
from loomio_backup.restore.restore_journal import Journal
from loomio_backup.restore.restore_preflight import read_settings, require_room
from loomio_backup.restore.restore_prepare import Preparation
from loomio_backup.state import StateDirectory


def clear(
    config: Config, state: StateDirectory, helper: Helper, preparation: Preparation, journal: Journal
) -> None:
    """Remove what is live, once that is safe. From then on the journal says `clearing`: the restore can only
    be begun again. Raises DamagedObject and RestoreError while nothing has been touched.
    """
    preparation.find_roots(journal)
    _require_room_afterwards(config, state, helper, preparation, journal)
    if "database" in journal.parts:
        read_settings(config, preparation.manifest, preparation.fetcher)
    _read_all(preparation)
    found = {container.service for container in restore_switch.writers(config)}
    journal.writers = sorted(found | set(journal.writers))
    journal.state = "clearing"
    restore_journal.save(state.restore_journal, journal)
    say("streaming: what is live is removed now, to make room")
    restore_switch.remove_writers(config)
    if "database" in journal.parts:
        with session(helper, MAINTENANCE_DATABASE) as sql:
            sql.execute(f"DROP DATABASE IF EXISTS {identifier(journal.live)} WITH (FORCE)")
    for root in journal.roots.values():
        _empty(root)


def _require_room_afterwards(
    config: Config, state: StateDirectory, helper: Helper, preparation: Preparation, journal: Journal
) -> None:
    freed = {root: _size(root) for root in journal.roots.values()}
    if "database" in journal.parts:
        container = docker.service_container(config.project, config.database.service)
        place = docker.data_directory(container)
        freed[place] = freed.get(place, 0) + _database_size(helper, journal.live)
    require_room(
        config,
        preparation.manifest,
        preparation.stores,
        journal.roots,
        state.spool,
        journal.parts,
        freed,
    )


def _read_all(preparation: Preparation) -> None:
    wanted = [entry for entry in preparation.manifest.objects if entry.kind != "legacy"]
    ticker = Ticker("streaming")
    for number, entry in enumerate(wanted, start=1):
        with preparation.fetcher.file(entry):
            ticker.tick(f"{number} of {len(wanted)} objects of the backup are whole", number / len(wanted))
    preparation.fetcher.objects = preparation.fetcher.bytes = 0


def _database_size(helper: Helper, database: str) -> int:
    with session(helper, MAINTENANCE_DATABASE) as sql:
        if not database_exists(sql, database):
            return 0
        return int(sql.value(f"SELECT to_json(pg_database_size({literal(database)}))"))


def _size(root: Path) -> int:
    """Bytes on the disk of everything that `_empty` removes."""
    total = 0
    for directory, _, files in os.walk(root):
        for file in files:
            total += os.lstat(os.path.join(directory, file)).st_blocks * 512  # noqa: PTH118 - any name
    return total


def _empty(root: Path) -> None:
    with os.scandir(os.fsencode(root)) as listing:
        children = [entry for entry in listing if not is_reserved(entry.name)]
    for entry in children:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)  # noqa: PTH108 - a name of bytes
