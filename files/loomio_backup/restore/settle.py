"""`loomio-backup settle`: whatever a restore left half-done when it was killed comes to its end.

A unit runs it at every boot and as soon as a restore dies: forward, where the switch had begun; otherwise
what was laid beside goes away. Nobody has to be there, and no key is needed (but for a restore in streaming
mode, which has to be begun again).
"""

from loomio_backup import docker
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.database import database_helper
from loomio_backup.progress import Stopwatch, say
from loomio_backup.restore import keeping, restore, restore_database, restore_journal
from loomio_backup.restore.restore_choice import Wish
from loomio_backup.restore.restore_files import remove_staged
from loomio_backup.restore.restore_finish import finish, start
from loomio_backup.restore.restore_journal import Journal
from loomio_backup.state import StateDirectory
from loomio_backup.update import update


def run(config: Config, credentials: Credentials) -> int:
    """The verb; waits for a restore or an update that is still running. Raises AgentError when it cannot be
    done now.
    """
    restored = _restore(config, credentials)
    updated = update.settle(config)
    if not restored and not updated:
        say("no restore and no update was left half-done")
    _let_go(config)
    return 0


def _restore(config: Config, credentials: Credentials) -> bool:
    """Whether there was one."""
    state = StateDirectory(config.state_directory)
    with state.locked("settling a restore", wait=True), Catalogue(state.catalogue) as catalogue:
        journal = restore_journal.load(state.restore_journal)
        if journal is not None and journal.start_due:
            say(f"{journal.backup} is in its place, and the stack was not started yet")
            start(config, state, journal)
            return True
        if journal is None or journal.state in ("done", "left"):
            (state.path / restore_journal.MARKER).unlink(missing_ok=True)
            return False
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        if journal.state == "switching":
            say(
                f"finishing the restore of {journal.backup}, which was interrupted in the middle of "
                "its switch"
            )
            finish(config, state, catalogue, journal, Stopwatch())
        elif journal.state == "clearing":
            say(f"beginning the restore of {journal.backup} again: what was live had to make room for it")
            restore.within(config, credentials, same_wish(journal), state, catalogue)
        else:
            leave(config, state, journal)
            say(
                f"the restore of {journal.backup} was interrupted before it touched anything live; what it "
                "had laid beside is gone. To try again, run the same command again"
            )
    return True


def _let_go(config: Config) -> None:
    """Last, because it needs the database, which may be down while an update is half-done."""
    state = StateDirectory(config.state_directory)
    with state.locked("letting go of what restores kept", wait=True), Catalogue(state.catalogue) as catalogue:
        if keeping.due(config, catalogue):
            state.empty_spool()
            docker.remove_leftover_helpers(config.project)
            keeping.let_go(config, state, catalogue)


def leave(config: Config, state: StateDirectory, journal: Journal) -> None:
    """Remove what a restore laid beside the live data, which it did not touch."""
    with database_helper.opened(config, state.spool) as helper:
        restore_database.drop_leftovers(helper)
    remove_staged(journal.roots)
    journal.state = "left"
    restore_journal.save(state.restore_journal, journal)


def same_wish(journal: Journal) -> Wish:
    """What was asked for when a restore in streaming mode was begun."""
    return Wish(
        backup=journal.backup,
        id=journal.wish,
        parts=journal.parts,
        unattended=True,
        replace_live_data=True,
        leave_stopped=journal.leave_stopped,
        leave_other_version_stopped=journal.left_for_version,
        streaming=True,
    )
