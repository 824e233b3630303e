"""`loomio-backup open`: a whole backup beside what is live, to look into: a database that takes no changes,
and a directory with its files. `open --close` removes everything that was opened.
"""

import contextlib
import re
import secrets
import shutil
from pathlib import Path

from loomio_backup import docker
from loomio_backup.backup import bundle
from loomio_backup.catalogue.manifest import PREFIX, Manifest
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.database import database_helper
from loomio_backup.database.postgres import MAINTENANCE_DATABASE
from loomio_backup.database.psql import SqlError, identifier, session
from loomio_backup.docker import Helper
from loomio_backup.errors import RestoreError
from loomio_backup.progress import bytes_text, say
from loomio_backup.restore import part, restore_database, restore_switch
from loomio_backup.restore.restore_choice import Wish
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.restore.restore_preflight import require_room
from loomio_backup.restore.restore_prepare import stage
from loomio_backup.state import StateDirectory, sync_directory

_DATABASE = "loomio_open_"
_OPENED = re.compile(_DATABASE + r"\w+")


def run(config: Config, credentials: Credentials, wish: Wish) -> int:
    """Open a backup. Raises AgentError; then nothing is left of it."""
    state = StateDirectory(config.state_directory)
    with (
        state.locked("an opening", wait=True),
        part.chosen(config, credentials, state, wish, "open") as (manifest, fetcher),
    ):
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        database = _database_of(manifest.name)
        directory = _directory(state) / manifest.name
        with database_helper.opened(config, state.spool) as helper:
            if directory.exists():
                raise RestoreError(
                    f"{manifest.name} is open already: the database {database}, the files in {directory}. To "
                    "remove it, type: loomio-backup open --close"
                )
            _remove_unfinished(state, helper)
            try:
                roots = _roots(state, manifest)
                require_room(config, manifest, fetcher.stores, roots, state.spool, can_stream=False)
                _database(helper, database, manifest, fetcher)
                _files(state, manifest, fetcher, roots)
            except BaseException:
                # Why it failed matters more than that this fails, too: the next opening does it then.
                with contextlib.suppress(SqlError):
                    _remove_unfinished(state, helper)
                raise
            # Last: a backup whose directory is there is open, whole.
            _unfinished(state).rename(directory)
            sync_directory(directory.parent)
    say(
        f"{manifest.name} is open. Its database (it takes no changes): docker compose exec "
        f"{config.database.service} psql -U {config.database.user} -d {database}. Its files: "
        f"{directory}. When you are done: loomio-backup open --close"
    )
    return 0


def close(config: Config) -> int:
    """Remove everything that was opened."""
    state = StateDirectory(config.state_directory)
    with state.locked("a closing", wait=True):
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        with database_helper.opened(config, state.spool) as helper:
            found = _databases(helper)
            _drop(helper, found)
        directory = _directory(state)
        if directory.exists():
            shutil.rmtree(directory)
    say("closed" if found else "nothing was open")
    return 0


def _directory(state: StateDirectory) -> Path:
    return state.path / "opened"


def _unfinished(state: StateDirectory) -> Path:
    return _directory(state) / ".opening"


def _remove_unfinished(state: StateDirectory, helper: Helper) -> None:
    """What an opening left that failed, or was killed: whatever has no directory of its backup."""
    directory = _directory(state)
    whole = {_database_of(path.name) for path in directory.iterdir()} if directory.exists() else set()
    _drop(helper, [name for name in _databases(helper) if name not in whole])
    if _unfinished(state).exists():
        shutil.rmtree(_unfinished(state))


def _database_of(backup: str) -> str:
    return _DATABASE + backup.removeprefix(PREFIX)


def _database(helper: Helper, name: str, manifest: Manifest, fetcher: Fetcher) -> None:
    with fetcher.content(manifest.only("config")) as source:
        settings = bundle.read(source)
    restore_database.restore_beside(helper, name, manifest, settings, fetcher)
    with session(helper, MAINTENANCE_DATABASE) as sql:
        sql.execute(f"ALTER DATABASE {identifier(name)} SET default_transaction_read_only TO on")
    say(f"database: {manifest.database.rows} rows, compared")


def _roots(state: StateDirectory, manifest: Manifest) -> dict[str, Path]:
    """A directory for each source."""
    _unfinished(state).mkdir(mode=0o700, parents=True)
    roots = {name: _unfinished(state) / name for name in manifest.app_data.sources}
    for root in roots.values():
        root.mkdir(mode=0o700)
    return roots


def _files(state: StateDirectory, manifest: Manifest, fetcher: Fetcher, roots: dict[str, Path]) -> None:
    id_ = secrets.token_hex(4)
    totals = stage(manifest, fetcher, roots, id_, state.spool)
    for root in roots.values():
        restore_switch.switch_files(root, id_)
    say(f"app-data: {totals.files} files, {bytes_text(totals.bytes)}, compared")


def _databases(helper: Helper) -> list[str]:
    with session(helper, MAINTENANCE_DATABASE) as sql:
        names = list(sql.rows("SELECT to_json(datname) FROM pg_catalog.pg_database ORDER BY datname"))
    return [name for name in names if _OPENED.fullmatch(name)]


def _drop(helper: Helper, names: list[str]) -> None:
    with session(helper, MAINTENANCE_DATABASE) as sql:
        for name in names:
            sql.execute(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")
