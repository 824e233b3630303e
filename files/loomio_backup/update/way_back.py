"""The way back of an update: the old images, and the data as it was when the writers stopped. Every step can
be repeated; a failed update, settling after a power cut, and `update --back` all go here.
"""

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.database import database_helper, postgres
from loomio_backup.database.psql import session
from loomio_backup.docker import Helper
from loomio_backup.errors import UpdateError
from loomio_backup.progress import say
from loomio_backup.restore import restore_switch
from loomio_backup.restore.restore_finish import start_stack
from loomio_backup.state import StateDirectory
from loomio_backup.update import cluster, compose, file_record, originals, stack_images, update_journal
from loomio_backup.update.update_journal import Journal


def go(config: Config, state: StateDirectory, catalogue: Catalogue, journal: Journal) -> None:
    """Go all of it, and start the old version. Raises AgentError when that cannot be done now; to be called
    again then. Where it led to something else than was backed up, the old version runs first, then that is
    raised.
    """
    journal.state = "reverting"
    update_journal.save(state, journal)
    say("update: going back to the old version, and to the data of when the writers stopped")
    restore_switch.remove_writers(config)
    stack_images.write(config.stack_env_file, journal.before)
    if journal.cluster is not None:
        compose.stop_kept(config)
        cluster.bring_back(config, state, journal.cluster, lambda: update_journal.save(state, journal))
    compose.start_kept(config)
    state.empty_spool()
    with database_helper.opened(config, state.spool) as helper:
        originals.bring_database_back(helper, journal)
        originals.bring_files_back(journal)
        journal.compared, differing = _compare(helper, catalogue, journal)
    differing = _look_at_files(state, journal) or differing
    start_stack(config, "the update was taken back", "")
    journal.running_at = clock.now()
    if differing is not None:
        journal.problem = f"{journal.problem or 'the update was taken back.'} {differing}"
    journal.state = "back"
    update_journal.write_result(state, journal)
    update_journal.save(state, journal)
    file_record.remove(state)
    if differing is not None:
        raise UpdateError(f"the old version runs again, but {differing}")
    say("update: the old version runs, on the data of when the writers stopped")
    for sentence in journal.compared:
        say(f"update: {sentence}")


def stay(config: Config, state: StateDirectory, journal: Journal) -> None:
    """The same for an update that has not touched the data: the old version is started again."""
    if journal.state == "stopping":
        say("update: starting what was stopped")
        start_stack(config, "the update was not made, and the data was not touched", "")
        journal.running_at = clock.now()
    journal.state = "left"
    update_journal.write_result(state, journal)
    update_journal.save(state, journal)


def _look_at_files(state: StateDirectory, journal: Journal) -> str | None:
    """Give the files the owner and mode that they had; what is not as it was, if anything."""
    if not journal.linked:
        return None
    found = file_record.put_right(state, journal)
    if found.put_right:
        say(f"update: {found.put_right} files got the owner and mode back that they had")
    if found.sentence is None:
        return None
    return (
        f"{found.sentence}. As they were, they are in the backup of when the writers stopped, "
        f"{journal.backup}. To take them, type: loomio-backup restore --backup {journal.backup} --only files"
    )


def _compare(helper: Helper, catalogue: Catalogue, journal: Journal) -> tuple[list[str], str | None]:
    """The tables against what was counted when the writers had stopped: what was compared, what differs."""
    manifest = catalogue.manifest(journal.backup) if journal.backup else None
    if manifest is None:
        return [], None
    expected = manifest.database.tables
    with session(helper, journal.live) as sql:
        found = postgres.count_all(sql, postgres.table_names(sql))
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if differing:
        return [], (
            f"the way back led to something else than was backed up: {differing[0]} has "
            f"{found.get(differing[0])} rows instead of {expected.get(differing[0])}. Nothing is lost: the "
            f"backup of when the writers stopped is {journal.backup}. To take that, type: loomio-backup "
            f"restore --backup {journal.backup}"
        )
    return [
        f"each of {len(expected)} tables has as many rows as were counted for {journal.backup} "
        f"({manifest.database.rows} in all)"
    ], None
