"""`loomio-backup restore --older FILE`: the database out of a `.sql.enc` of the older backup scripts.

Such a file says nothing about itself: no counts, no files. So it is authenticated and looked through as a
whole first, restored beside, and what is in it then is shown; after that it goes the way of every restore.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from loomio_backup import clock, docker, room
from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.credentials import LEGACY_PASSPHRASE, Credentials
from loomio_backup.database import database_helper, people, postgres, statistics
from loomio_backup.database.postgres import MAINTENANCE_DATABASE, DatabaseProperties, first_live_table
from loomio_backup.database.psql import session
from loomio_backup.docker import WORK, Helper
from loomio_backup.encryption import fernet, legacy
from loomio_backup.errors import DamagedObject, RestoreError, StoreError
from loomio_backup.progress import Stopwatch, Ticker, bytes_text, say
from loomio_backup.restore import (
    restore_database,
    restore_fed,
    restore_journal,
    restore_safety,
    restore_switch,
    restored_attachments,
)
from loomio_backup.restore.older_sql import Survey
from loomio_backup.restore.restore_choice import Wish, confirm
from loomio_backup.restore.restore_finish import finish
from loomio_backup.restore.restore_journal import Journal
from loomio_backup.state import StateDirectory
from loomio_backup.streams import Sink
from loomio_backup.update import update_journal

_MADE = re.compile(r"(?<!\d)\d{8}_\d{6}(?!\d)")
_RESTORE = f"""
{{
  psql -X -q -v ON_ERROR_STOP=1 --no-password -d "$1"
  status=$?
  test $status -ne 0 || cat >/dev/null
  exit $status
}} <{WORK}/restore
"""


def run(config: Config, credentials: Credentials, older: str, wish: Wish, wait: bool = False) -> None:
    """Restore a file (a path, or the name of one in a store's folder). Raises AgentError."""
    state = StateDirectory(config.state_directory)
    with state.locked("a restore", wait), Catalogue(state.catalogue) as catalogue:
        _refuse_unfinished(state)
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        key = _key(credentials)
        with _found(config, credentials, state, older, wish.store) as path:
            watch = Stopwatch()
            _look_through(path, key)
            _require_room(config, path)
            _confirm(config, credentials, state, catalogue, path, wish)
            with database_helper.opened(config, state.spool) as helper:
                journal = _prepare(config, state, catalogue, helper, path, key, wish, watch)
        finish(config, state, catalogue, journal, watch)


def _refuse_unfinished(state: StateDirectory) -> None:
    update_journal.refuse_unfinished(state, "nothing was restored")
    restore_journal.refuse_unfinished(state.restore_journal, "nothing was restored")


def _key(credentials: Credentials) -> bytes:
    key = legacy.reading_key(credentials)
    if key is None:
        raise RestoreError(
            "a .sql.enc needs the passphrase of the older backup scripts (BACKUP_ENCRYPTION_KEY), and the "
            f"credential {LEGACY_PASSPHRASE} is missing. Nothing was changed. Put it into the secrets file "
            "(loomio-pi secrets edit, encryption.legacy_passphrase), run the setup deploy, and try again."
        )
    return key


@contextmanager
def _found(
    config: Config, credentials: Credentials, state: StateDirectory, older: str, only: str | None
) -> Iterator[Path]:
    """The file where it lies, or fetched into the spool."""
    if "/" in older:
        if not Path(older).is_file():
            raise RestoreError(f"there is no file {older}. Nothing was changed.")
        yield Path(older)
        return
    problems = []
    for kind, store in open_stores(config, credentials).items():
        if only not in (None, kind):
            continue
        try:
            stored = next((one for one in store.list() if one.name == older), None)
            if stored is None:
                problems.append(f"{kind} has none.")
                continue
            path = store.source_path(older)
            if path is None:
                path = state.spool / older
                room.require_restore(older, {state.spool: stored.size}, can_stream=False)
                ticker = Ticker(f"{kind}: {older}")
                total = max(1, stored.size)

                def tell(done: int, ticker: Ticker = ticker, total: int = total) -> None:
                    ticker.tick(f"{bytes_text(done)} of {bytes_text(total)}", done / total)

                store.get(stored, path, progress=tell)
        except StoreError as error:
            problems.append(f"{kind}: {error}")
            continue
        try:
            yield path
        finally:
            (state.spool / older).unlink(missing_ok=True)
        return
    raise RestoreError(
        f"no store gives a file {older}. Nothing was changed. {' '.join(problems)} One that lies "
        "elsewhere on "
        "this Pi is named by its path, such as ./backups/NAME.sql.enc. In Google Drive only what "
        "this program "
        "put there can be seen with an account of your own: download the file in a browser, and copy it here."
    )


def _look_through(path: Path, key: bytes) -> None:
    """All of it is genuine, and is a dump that can be restored beside. Raises DamagedObject, RestoreError."""
    say(f"{path.name}: looking through all of it")
    survey = Survey()
    with path.open("rb") as source:
        fernet.decrypt(source, survey, key, path.name)
    survey.end()
    if survey.within is not None:
        raise DamagedObject(
            f"{path.name} was cut off when it was made: it ends in the middle of the table {survey.within}. "
            "Nothing was changed. Use another backup."
        )
    if survey.leaves is not None:
        raise RestoreError(
            f"{path.name} would work on another database than the one that it is restored into "
            f"({survey.leaves.strip()}). Nothing was changed. It was not made as the older scripts "
            "make theirs; decrypt it (loomio-backup decrypt), take such lines out, and restore it by hand."
        )
    if not survey.complete and survey.unfilled > 0:
        raise DamagedObject(
            f"{path.name} was cut off when it was made: it ends before {survey.unfilled} of the tables and "
            "sequences that it makes are filled. Nothing was changed. Use another backup; if there is none, "
            "decrypt it (loomio-backup decrypt), and restore by hand what it holds."
        )
    if not survey.complete:
        say(f"{path.name} does not end with pg_dump's last line: things at its end may be missing in it")


def _require_room(config: Config, path: Path) -> None:
    """The database takes about as much as its SQL, which the file holds as base64."""
    database = docker.service_container(config.project, config.database.service)
    needed = {docker.data_directory(database): path.stat().st_size * 3 // 4}
    room.require_restore(path.name, needed, can_stream=False)


def _confirm(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    path: Path,
    wish: Wish,
) -> None:
    with database_helper.opened(config, state.spool) as helper:
        table = first_live_table(helper, config.database.name)
    if not wish.unattended:
        confirm(
            f"{path.name} takes the place of the database of this Pi; files stay as they are. What is "
            "there now "
            "is backed up first (pinned), and kept aside: loomio-backup undo brings it back.\nType yes to go "
            "on: "
        )
    elif table is not None and not wish.replace_live_data:
        raise RestoreError(
            f"this Pi holds data: the table {table} of {config.database.name} has rows. Nothing was "
            "restored, "
            "and the data is untouched. To replace it (it is kept aside), add --replace-live-data."
        )
    if table is not None:
        restore_safety.back_up_first(config, credentials, wish, state, catalogue)


def _prepare(
    config: Config,
    state: StateDirectory,
    catalogue: Catalogue,
    helper: Helper,
    path: Path,
    key: bytes,
    wish: Wish,
    watch: Stopwatch,
) -> Journal:
    id_, now, own = secrets.token_hex(4), clock.now(), catalogue.lineage()
    journal = Journal(
        id=id_,
        state="preparing",
        backup=path.name,
        parts=("database",),
        leave_stopped=wish.leave_stopped,
        stores=[],
        instance=own.instance if own else "",
        generation=own.generation if own else 0,
        keeps_lineage=True,
        snapshot_at=now,
        started_at=now,
        live=config.database.name,
        new=restore_database.NEW_PREFIX + id_,
        aside=f"loomio_before_{now:%Y%m%d_%H%M%S}",
    )
    restore_journal.save(state.restore_journal, journal)
    try:
        restore_database.drop_leftovers(helper)
        with session(helper, MAINTENANCE_DATABASE) as sql:
            restore_database.make_database(sql, journal.new, _properties(config, helper))

        def feed(sink: Sink) -> bool:
            with path.open("rb") as source:
                fernet.decrypt(source, sink, key, path.name)
            return True

        restore_fed.fed(helper, _RESTORE, journal.new, f"psql could not restore {path.name}", feed)
        look = people.look(helper, journal.new)
        journal.snapshot_at = moment_of(path, look.latest_activity, journal.started_at)
        with session(helper, journal.new) as sql:
            names = postgres.table_names(sql)
            journal.rows = sum(postgres.count_all(sql, names).values())
            journal.tables = len(names)
            statistics.gather(sql)
        if not journal.rows:
            raise RestoreError(f"{path.name} holds no rows at all. Nothing live was changed.")
        journal.phases["database"] = watch.lap("database")
        journal.compared.append(
            f"database: {journal.rows} rows in {journal.tables} tables; {look.sentence}. The file "
            "itself says nothing to compare that with"
        )
        if (told := restored_attachments.look(config, helper, journal, ())) is not None:
            journal.compared.append(told)
        journal.keep_aside = restore_database.has_tables(helper, config.database.name)
        journal.writers = sorted({found.service for found in restore_switch.writers(config)})
        journal.state = "switching"
        restore_journal.save(state.restore_journal, journal)
    except BaseException:
        if restore_database.dropped_after_failure(helper):
            journal.state = "left"
            restore_journal.save(state.restore_journal, journal)
        raise
    return journal


def moment_of(path: Path, latest_activity: datetime | None, now: datetime) -> datetime:
    """When such a file was probably made (UTC): as its name says, else when people last did something that is
    in it, else when the file was written; never after now.
    """
    if (found := _MADE.search(path.name)) is not None:
        with suppress(ValueError):  # digits that are no time
            return min(datetime.strptime(found[0], "%Y%m%d_%H%M%S").replace(tzinfo=UTC), now)
    if latest_activity is not None:
        return min(latest_activity.astimezone(UTC), now)
    return min(datetime.fromtimestamp(path.stat().st_mtime, UTC), now)


def _properties(config: Config, helper: Helper) -> DatabaseProperties:
    """Those of the live database; of a new one where there is none."""
    with session(helper, MAINTENANCE_DATABASE) as sql:
        live = config.database.name
        if postgres.database_exists(sql, live):
            return postgres.database_properties(sql, live)
        found = postgres.database_properties(sql, MAINTENANCE_DATABASE)
        return replace(found, grants=None, comment=None, role_settings=[])
