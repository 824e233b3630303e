"""`loomio-backup update`: newer images on the same data, or everything as it was when the writers stopped.

The new version is tried on a copy first. Then the writers stop, what they wrote is backed up, the originals
are put aside, and the new version migrates and runs where nobody reaches it. People are let in when it has
answered; if it does not come to that, the old version and the originals come back, by themselves.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from loomio_backup import clock, docker
from loomio_backup.backup import backup
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config, Stores
from loomio_backup.credentials import Credentials
from loomio_backup.database import database_helper, postgres
from loomio_backup.database.psql import session
from loomio_backup.errors import AgentError, UpdateError
from loomio_backup.progress import Stopwatch, say, seconds_text
from loomio_backup.restore import keeping, restore_journal, restore_switch
from loomio_backup.restore.restore_finish import start_stack
from loomio_backup.state import StateDirectory
from loomio_backup.update import (
    cluster,
    compose,
    originals,
    rehearsal,
    stack_images,
    update_journal,
    versions,
    way_back,
)
from loomio_backup.update.rehearsal import Ids
from loomio_backup.update.stack_images import LOOMIO, POSTGRES, REDIS
from loomio_backup.update.update_journal import Journal

LABEL = "before-update"
_LEADS_BACK = (AgentError, OSError)


@dataclass(frozen=True)
class Wish:
    """What the command line says. Images: None leaves that one as it is."""

    loomio: str | None = None
    postgres: str | None = None
    redis: str | None = None
    rehearse: bool = True
    wait: bool = False


def run(config: Config, credentials: Credentials, wish: Wish) -> int:
    """The verb. Raises AgentError when the update was not made; the old version runs then."""
    state = StateDirectory(config.state_directory)
    with state.locked("an update", wish.wait), Catalogue(state.catalogue) as catalogue:
        state.empty_spool()
        docker.remove_leftover_helpers(config.project)
        _refuse_unfinished(state)
        _Update(config, credentials, wish, state, catalogue).make()
    return 0


def _refuse_unfinished(state: StateDirectory) -> None:
    update_journal.refuse_unfinished(state, "nothing was updated")
    restore_journal.refuse_unfinished(
        state.restore_journal, "nothing was updated", UpdateError, also_start_due=True
    )


class _Update:
    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        wish: Wish,
        state: StateDirectory,
        catalogue: Catalogue,
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._wish = wish
        self._state = state
        self._catalogue = catalogue
        self._watch = Stopwatch()
        self._others: list[str] = []
        before = stack_images.named(config.stack_env_file)
        wanted = {LOOMIO: wish.loomio, POSTGRES: wish.postgres, REDIS: wish.redis}
        after = {
            name: stack_images.require_reference(image) if (image := wanted[name]) else before[name]
            for name in before
        }
        id_, now = secrets.token_hex(4), clock.now()
        self._journal = Journal(
            id=id_,
            state="rehearsing",
            started_at=now,
            before=before,
            after=after,
            live=config.database.name,
            original=f"loomio_before_update_{now:%Y%m%d_%H%M%S}",
        )

    def make(self) -> None:
        journal = self._journal
        if not journal.changes:
            say("nothing to update: the images that are asked for run already")
            return
        (self._state.path / update_journal.RESULT).unlink(missing_ok=True)
        ids = self._checked()
        say(f"update: {', '.join(journal.changes)}")
        if self._wish.rehearse and self._config.update.rehearse:
            journal.rehearsal = rehearsal.rehearse(
                self._config, self._credentials, self._state, self._catalogue, ids
            )
        else:
            journal.rehearsal = "left out, as was asked for"
        self._lap("rehearsal")
        try:
            self._stop_writers()
            self._put_aside()
            self._change(ids)
        except _LEADS_BACK as error:
            self._go_back(error)
        self._let_in()

    def _checked(self) -> Ids:
        """The images are there, and may follow those that run. Raises UpdateError; nothing was touched."""
        config, journal = self._config, self._journal
        running = {one.service: one for one in docker.containers(config.project) if not one.one_off}
        for service in (config.app_service, *config.keep_services):
            if service not in running:
                raise UpdateError(
                    f"there is no container of {service}, so it is not known what runs. Nothing was changed. "
                    "Start the stack as it is (docker compose up -d), then run the same again."
                )
        app_image = running[config.app_service].image_id
        self._others = sorted(
            service
            for service, one in running.items()
            if one.running and one.image_id == app_image and service != config.app_service
        )
        app, wanted = journal.before[LOOMIO] or running[config.app_service].image, journal.after[LOOMIO]
        if wanted is not None and (reason := versions.refusal(app, wanted)) is not None:
            raise UpdateError(f"nothing was updated: {reason}")
        ids = {
            name: stack_images.had(image)
            if image and image != journal.before[name]
            else running[service].image_id
            for name, service, image in (
                (LOOMIO, config.app_service, wanted),
                (POSTGRES, config.database.service, journal.after[POSTGRES]),
                (REDIS, config.cache_service, journal.after[REDIS]),
            )
        }
        self._lap("images")
        self._check_database(ids)
        return Ids(ids[LOOMIO], ids[POSTGRES], ids[REDIS])

    def _check_database(self, ids: Mapping[str, str]) -> None:
        config, journal = self._config, self._journal
        with database_helper.opened(config, self._state.spool) as helper:
            with session(helper, postgres.MAINTENANCE_DATABASE) as sql:
                _, number = postgres.server_version(sql)
            new = versions.major_of(stack_images.postgres_says(ids[POSTGRES]))
            if new is not None and new < number // 10000:
                raise UpdateError(
                    f"nothing was updated: {journal.after[POSTGRES]} is PostgreSQL {new}, and "
                    f"{number // 10000} runs. An older PostgreSQL cannot read what a newer one wrote. Name "
                    "one that is as new."
                )
            originals.require_room(config, helper)
            if new is not None and new > number // 10000:
                cluster.refuse_kept(keeping.kept(self._catalogue))
                journal.cluster = cluster.planned(config, journal.id)

    def _stop_writers(self) -> None:
        """From here on Loomio is down; and what it wrote last is safe."""
        config, journal = self._config, self._journal
        journal.state = "stopping"
        journal.writers = sorted({one.service for one in restore_switch.writers(config)})
        journal.stopped_at = clock.now()
        update_journal.save(self._state, journal)
        restore_switch.remove_writers(config)
        self._lap("stop")
        made = backup.within(
            _nearest(config), self._credentials, self._state, self._catalogue, LABEL, pin=True, safety=True
        )
        journal.backup = made.name
        self._lap("backup")

    def _put_aside(self) -> None:
        journal = self._journal
        journal.state = "copying"
        originals.find_roots(self._config, journal)
        update_journal.save(self._state, journal)
        files = originals.link_files(self._state, journal)
        if journal.cluster is None:
            with database_helper.opened(self._config, self._state.spool) as helper:
                originals.put_database_aside(helper, journal)
        journal.linked = True
        self._lap("copy")
        say(f"update: the database and {files} files are put aside as they are")

    def _change(self, ids: Ids) -> None:
        """The new version on the live data, and nobody sees it."""
        config, journal = self._config, self._journal
        journal.state = "changing"
        update_journal.save(self._state, journal)
        if journal.cluster is not None:
            cluster.upgrade(config, self._state, journal.cluster, ids.database, lambda: self._save())
            self._lap("postgresql")
        stack_images.write(config.stack_env_file, journal.after)
        compose.start_kept(config)
        compose.migrate(config)
        self._lap("migration")
        took = compose.try_app(config)
        compose.start_others(config, self._others, took)
        self._lap("trial")

    def _let_in(self) -> None:
        """It has answered: people are let in, and there is only forward."""
        journal = self._journal
        journal.state = "starting"
        update_journal.save(self._state, journal)
        forward(self._config, self._state, journal)
        self._lap("start")

    def _go_back(self, error: Exception) -> None:
        """Back, or on as before where nothing was touched; raises UpdateError that says so."""
        journal = self._journal
        journal.problem = str(error)
        say(f"update: {error}")
        if journal.state == "stopping":
            way_back.stay(self._config, self._state, journal)
            raise UpdateError(
                f"{journal.problem} The update was not made, and the old version runs."
            ) from error
        way_back.go(self._config, self._state, self._catalogue, journal)
        down = seconds_text(journal.down_seconds or 0)
        raise UpdateError(
            f"{journal.problem} So the update was taken back: the old version runs on the data of when the "
            f"writers stopped, nothing is lost, and Loomio was down for {down}. The backup of that "
            f"moment is {journal.backup} (pinned)."
        ) from error

    def _save(self) -> None:
        update_journal.save(self._state, self._journal)

    def _lap(self, phase: str) -> None:
        self._journal.phases[phase] = self._watch.lap(phase)


def forward(config: Config, state: StateDirectory, journal: Journal) -> None:
    """Start the new version for everybody; when it is up, what was kept for the way back goes. Raises
    UpdateError when it does not come up; to be called again then.
    """
    try:
        start_stack(config, "the update is made", "")
    except AgentError as error:
        raise UpdateError(
            f"the new version answered, and its data is in place, but the stack did not come up. {error} "
            "Then type: loomio-backup settle. Or go back to the old version and the data of when the writers "
            "stopped (what was written since is lost then): loomio-backup update --back"
        ) from error
    journal.running_at = clock.now()
    with database_helper.opened(config, state.spool) as helper:
        originals.let_database_go(helper, journal)
    originals.let_files_go(state, journal)
    journal.state = "done"
    update_journal.write_result(state, journal)
    update_journal.save(state, journal)
    down = seconds_text(journal.down_seconds or 0)
    say(
        f"updated: {', '.join(journal.changes)}. Loomio was down for {down}; the backup of before is "
        f"{journal.backup} (pinned)"
    )
    if journal.cluster is not None:
        say(
            f"the old PostgreSQL's files are kept in the volume {journal.cluster.old}; when all is well, let "
            f"them go: docker volume rm {journal.cluster.old}"
        )


def back(config: Config) -> int:
    """`update --back`: from an update whose last start failed. Raises UpdateError when there is none."""
    state = StateDirectory(config.state_directory)
    with _unfinished(state) as (journal, catalogue):
        if journal is None or journal.state not in (*update_journal.LEADS_BACK, "starting"):
            raise UpdateError(
                "no update is unfinished, so there is no way back without losing what was written since. "
                "Nothing was changed. The backup of before is labelled before-update: loomio-backup list"
            )
        way_back.go(config, state, catalogue, journal)
    return 0


def settle(config: Config) -> bool:
    """Bring what was interrupted to its end: back, or forward where people had been let in. False where no
    update was left half-done. Only while a restore is not unfinished. Raises AgentError.
    """
    state = StateDirectory(config.state_directory)
    with _unfinished(state) as (journal, catalogue):
        if journal is None or journal.state in update_journal.ENDED:
            (state.path / update_journal.MARKER).unlink(missing_ok=True)
            return False
        journal.problem = journal.problem or "it was interrupted (killed, or a power cut)"
        if journal.state in ("rehearsing", "stopping"):
            say("an update was interrupted before it touched the data")
            way_back.stay(config, state, journal)
        elif journal.state == "starting":
            say("an update was interrupted when it was done, but for the start of the stack")
            journal.problem = None
            forward(config, state, journal)
        else:
            say("an update was interrupted half-way")
            way_back.go(config, state, catalogue, journal)
    return True


@contextmanager
def _unfinished(state: StateDirectory) -> Iterator[tuple[Journal | None, Catalogue]]:
    with state.locked("settling an update", wait=True), Catalogue(state.catalogue) as catalogue:
        journal = update_journal.load(state)
        state.empty_spool()
        yield journal, catalogue


def _nearest(config: Config) -> Config:
    """With the nearest store only: Loomio is down meanwhile. The other gets the backup with its next one."""
    if config.stores.local is None:
        return config
    return config.model_copy(update={"stores": Stores(local=config.stores.local)})
