"""From the switch on there is only forward: what was restored (or kept) takes the place of what is live, and
the app comes up on it. Every step can be repeated; restore, undo and settle all end here.
"""

import json
import subprocess
import time
from typing import Any

from loomio_backup import clock, docker
from loomio_backup.catalogue.catalogue import Catalogue, Lineage
from loomio_backup.config import Config
from loomio_backup.database import database_helper
from loomio_backup.errors import RestoreError
from loomio_backup.progress import Stopwatch, Ticker, bytes_text, say, seconds_text
from loomio_backup.restore import keeping, restore_journal, restore_switch, restore_version
from loomio_backup.restore.restore_journal import Journal
from loomio_backup.state import StateDirectory

_UNDO = "To go back to what was here before, type: loomio-backup undo"
_HEALTHY_SECONDS = 900
"""A Loomio that migrates its schema on a Pi takes minutes to come up."""


def finish(
    config: Config, state: StateDirectory, catalogue: Catalogue, journal: Journal, watch: Stopwatch
) -> None:
    """Do, or go on with, the switch of a journal in the state `switching`; then start the stack, where it
    ran.

    Raises RestoreError when it cannot be done now; to be called again then.
    """
    restore_switch.remove_writers(config)
    database_bytes = 0
    if "database" in journal.parts:
        with database_helper.opened(config, state.spool) as helper:
            restore_switch.switch_database(helper, journal)
            database_bytes = keeping.database_bytes(helper, journal)
    if "files" in journal.parts:
        _switch_files(journal)
    if not journal.keeps_lineage:
        # The first backup of the new generation tells an old Pi, should it still live, to stop.
        catalogue.set_lineage(_lineage(journal))
    keeping.note(catalogue, journal, database_bytes)
    journal.phases["switch"] = watch.lap("switch")
    journal.state, journal.start_due = "done", bool(journal.writers) and not journal.leave_stopped
    if journal.undoes is None:
        restore_journal.write_result(state.restore_result, journal)
    else:
        state.restore_result.unlink(missing_ok=True)
    restore_journal.save(state.restore_journal, journal)
    _say_done(journal, config.app_service)
    if journal.start_due:
        start(config, state, journal)


def start(config: Config, state: StateDirectory, journal: Journal) -> None:
    """Start the stack whose containers a restore removed. Raises RestoreError; it stays due then."""
    start_stack(config)
    journal.start_due = False
    restore_journal.save(state.restore_journal, journal)


def _lineage(journal: Journal) -> Lineage:
    own = journal.lineage_before if journal.undoes is not None else None
    if own is None:
        return Lineage(journal.instance, journal.generation, 0, journal.backup)
    return Lineage(own.instance, own.generation, own.sequence, own.previous)


def _switch_files(journal: Journal) -> None:
    for name, root in journal.roots.items():
        staged, dress = journal.staged.get(name), journal.dress.get(name)
        before = restore_switch.switch_files(root, journal.id, staged, dress)
        if before is not None:
            journal.kept[name] = str(before)
            say(f"switch: the {name} files that were here are kept in {before}")


def _say_done(journal: Journal, app: str) -> None:
    if journal.undoes is not None:
        say(f"the restore of {journal.undoes} is undone: what was here before it is live again")
        return
    held = []
    if "database" in journal.parts:
        held.append(f"{journal.rows} rows")
    if "files" in journal.parts:
        held.append(f"{journal.files} files ({bytes_text(journal.bytes)})")
    took = seconds_text(max(0.0, (clock.now() - journal.started_at).total_seconds()))
    say(f"{journal.backup} is restored: {', '.join(held)}, {took}")
    for sentence in journal.compared:
        say(sentence)
    if journal.keep_aside or journal.kept:
        say("What was here before is kept. To go back to it, type: loomio-backup undo")
    restore_version.say_left(journal, app)


def start_stack(config: Config, done: str = "everything is restored", back: str = _UNDO) -> None:
    """Start the stack as it is declared, and wait until all of it is healthy. Raises RestoreError, which says
    what is `done` all the same, and the way `back`.
    """
    say("starting the stack")
    directory = config.stack_directory
    command = ["docker", "compose", "up", "-d"]
    started = subprocess.run(command, cwd=directory, capture_output=True, stdin=subprocess.DEVNULL)
    if started.returncode != 0:
        raise RestoreError(
            f"{done}, but the stack did not start: "
            f"{started.stderr.decode(errors='replace').strip()}. Look into it in {directory}, then type: "
            "docker compose up -d"
        )
    _wait_until_healthy(config, done, back)


def _wait_until_healthy(config: Config, done: str, back: str) -> None:
    began, ticker = time.monotonic(), Ticker("stack")
    while waiting := _not_healthy(config.project):
        waited = time.monotonic() - began
        if waited > _HEALTHY_SECONDS:
            raise RestoreError(
                f"{done} and the stack was started, but {', '.join(waiting)} did not become healthy in "
                f"{seconds_text(waited)}. Look at: docker compose logs --tail 50 {waiting[0]}. "
                f"{back}".rstrip()
            )
        ticker.tick(f"waiting for {', '.join(waiting)}, {waited:.0f} s")
        time.sleep(1)
    say(f"the stack is up, {seconds_text(time.monotonic() - began)}")


def _not_healthy(project: str) -> list[str]:
    """Services of which a container does not run, or whose own check does not say that it is healthy."""
    ids = [found.id for found in docker.containers(project) if not found.one_off]
    if not ids:
        return []
    states: list[dict[str, Any]] = json.loads(docker.docker("container", "inspect", *ids))
    return sorted(
        {
            entry["Config"]["Labels"].get("com.docker.compose.service", "")
            for entry in states
            if not entry["State"]["Running"]
            or entry["State"].get("Health", {}).get("Status", "healthy") != "healthy"
        }
    )
