"""`loomio-backup undo`: what was here before the last restore is live again, and what that restore brought is
kept in its place; so undone twice is done again. `undo --forget` lets go of everything that is kept.
"""

import re
import secrets
import shutil
from pathlib import Path

from loomio_backup import clock, docker
from loomio_backup.backup.appdata import resolve_roots
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.database import database_helper, postgres
from loomio_backup.database.postgres import MAINTENANCE_DATABASE
from loomio_backup.database.psql import identifier, session
from loomio_backup.docker import Helper
from loomio_backup.errors import RestoreError
from loomio_backup.progress import Stopwatch, say
from loomio_backup.restore import keeping, restore_journal, restore_switch, restore_version
from loomio_backup.restore.restore_choice import confirm
from loomio_backup.restore.restore_files import STAGED
from loomio_backup.restore.restore_finish import finish
from loomio_backup.restore.restore_journal import Before, Journal
from loomio_backup.state import StateDirectory
from loomio_backup.update import update_journal

_KEPT_DATABASE = re.compile(r"loomio_(before|undone)_\d{8}_\d{6}")


def run(config: Config, unattended: bool, leave_stopped: bool = False) -> int:
    """Take the last restore back. Raises RestoreError when there is nothing to go back to."""
    state = StateDirectory(config.state_directory)
    with state.locked("an undo"), Catalogue(state.catalogue) as catalogue:
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        last = _last(state)
        with database_helper.opened(config, state.spool) as helper:
            _require_kept(helper, last)
        if not unattended:
            confirm(
                f"What was here before {last.backup} was restored will be live again. What is live now, with "
                "all that was written since, is kept aside. Type yes to go on: "
            )
        journal = _journal(last, catalogue, leave_stopped)
        journal.ran = restore_version.running(config.project)
        journal.writers = sorted({found.service for found in restore_switch.writers(config)})
        restore_journal.save(state.restore_journal, journal)
        finish(config, state, catalogue, journal, Stopwatch())
        restore_version.say_undone(last, journal.ran, config.app_service)
    return 0


def _refuse_unfinished(state: StateDirectory) -> None:
    update_journal.refuse_unfinished(state, "nothing was undone")
    restore_journal.refuse_unfinished(state.restore_journal, "nothing was undone")


def _last(state: StateDirectory) -> Journal:
    _refuse_unfinished(state)
    last = restore_journal.load(state.path / restore_journal.LAST)
    if last is None:
        raise RestoreError("nothing was restored on this Pi, so there is nothing to undo.")
    return last


def _require_kept(helper: Helper, last: Journal) -> None:
    missing = [place for place in last.kept.values() if not Path(place).exists()]
    if "database" in last.parts:
        with session(helper, MAINTENANCE_DATABASE) as sql:
            if not last.keep_aside or not postgres.database_exists(sql, last.aside):
                missing.insert(0, f"the database {last.aside}")
    elif not last.kept:
        missing.append("any file")
    if missing:
        raise RestoreError(
            f"what was here before {last.backup} was restored is not there any more, or there was nothing "
            f"({missing[0]}). Nothing was changed. A backup of that time can be restored: loomio-backup list"
        )


def _journal(last: Journal, catalogue: Catalogue, leave_stopped: bool) -> Journal:
    now, own = clock.now(), catalogue.lineage()
    id_ = secrets.token_hex(4)
    staged = {}
    for name, root in last.roots.items():
        if name in last.kept:
            staged[name] = Path(last.kept[name]).name
        else:
            # Nothing was in it: it becomes empty again.
            staged[name] = STAGED + id_
            (root / staged[name]).mkdir(mode=0o700)
    # Another Loomio's lineage came with its backup, and goes with it; ours stays where it has got to.
    lineage = last.lineage_before
    if own is not None and (lineage is None or lineage.instance == own.instance):
        lineage = Before.of(own)
    return Journal(
        id=id_,
        state="switching",
        backup=last.backup,
        parts=last.parts,
        undoes=last.backup,
        keeps_lineage=last.keeps_lineage,
        leave_stopped=leave_stopped,
        stores=[],
        instance=last.instance,
        generation=last.generation,
        snapshot_at=last.snapshot_at,
        started_at=now,
        live=last.live,
        new=last.aside,
        aside=f"loomio_undone_{now:%Y%m%d_%H%M%S}",
        keep_aside="database" in last.parts,
        roots=last.roots,
        staged=staged,
        dress=dict(last.roots_before),
        roots_before={name: restore_switch.attributes(root) for name, root in last.roots.items()},
        lineage_before=lineage,
    )


def forget(config: Config, unattended: bool) -> int:
    """Remove everything that restores kept: the room is free again, and nothing can be undone any more."""
    state = StateDirectory(config.state_directory)
    with state.locked("an undo"), Catalogue(state.catalogue) as catalogue:
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        _refuse_unfinished(state)
        with database_helper.opened(config, state.spool) as helper:
            databases = _kept_databases(helper)
            places = _kept_places(config)
            if not databases and not places:
                keeping.forgotten(catalogue)
                say("nothing is kept from before a restore")
                return 0
            for what in [*(f"the database {name}" for name in databases), *map(str, places)]:
                say(f"kept: {what}")
            if not unattended:
                confirm("All of that will be removed, and no restore can be undone then. Type yes: ")
            # First: an undo must not begin that lacks half of what it needs.
            (state.path / restore_journal.LAST).unlink(missing_ok=True)
            with session(helper, MAINTENANCE_DATABASE) as sql:
                for name in databases:
                    sql.execute(f"DROP DATABASE {identifier(name)} WITH (FORCE)")
        for place in places:
            shutil.rmtree(place)
        keeping.forgotten(catalogue)
    say("removed")
    return 0


def _kept_databases(helper: Helper) -> list[str]:
    with session(helper, MAINTENANCE_DATABASE) as sql:
        names = list(sql.rows("SELECT to_json(datname) FROM pg_catalog.pg_database ORDER BY datname"))
    return [name for name in names if _KEPT_DATABASE.fullmatch(name)]


def _kept_places(config: Config) -> list[Path]:
    present = [
        source
        for source in config.app_data
        if source.volume is None or docker.volume_mountpoint(source.volume) is not None
    ]
    roots = resolve_roots(present)
    return sorted(place for root in roots.values() for place in root.glob(restore_switch.BEFORE + "*"))
