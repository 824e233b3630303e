"""The rehearsal: the new version takes over a restored copy of the newest backup, on a network that leads
nowhere. What fails there would have failed in front of everybody.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from loomio_backup import clock, docker
from loomio_backup.access import open_stores
from loomio_backup.backup import bundle, reading
from loomio_backup.backup.bundle import Bundle
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.drill import drill_app, drill_bench, drill_gates, leases
from loomio_backup.drill.drill_bench import APP, Bench, Copy
from loomio_backup.drill.drill_fetch import DrillFetcher
from loomio_backup.drill.drill_guard import Guard
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import AgentError, DrillError, UpdateError
from loomio_backup.progress import Ticker, say, seconds_text
from loomio_backup.restore import restore_database
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

MIGRATE = ("rake", "db:migrate")
"""What Loomio's own instructions run in the new image before it is started."""
WITHOUT = "loomio-backup update --no-rehearsal (with loomio-pi: --data rehearse=no)"
SAFE = "Nothing was changed, and Loomio runs as before."


@dataclass(frozen=True)
class Ids:
    """The images of the new version, as ids."""

    app: str
    database: str
    redis: str


def rehearse(
    config: Config, credentials: Credentials, state: StateDirectory, catalogue: Catalogue, ids: Ids
) -> str:
    """Do it; a sentence about what was shown. Raises UpdateError when the new version fails on the copy, or
    when it cannot be tried.
    """
    reader = Reader(config, credentials, state, catalogue)
    if reader.keys.newest is None:
        raise UpdateError(
            f"this Pi holds no identity (offline key), so nothing can be rehearsed here. {SAFE} Update from "
            "the operator's machine, which lends it: loomio-pi deploy update"
        )
    began = time.monotonic()
    with reading.place(state, "verify", wait=True) as directory, leases.hold(state) as lease:
        drill_bench.clear(config.project)
        store, manifest, identities = _newest(config, credentials, reader, catalogue)
        lease.take(manifest.name)
        age = max(0.0, (clock.now() - manifest.snapshot_at).total_seconds())
        say(f"rehearsal: on a copy of {manifest.name} from {store.kind}, {seconds_text(age)} old")
        try:
            _Rehearsal(config, store, manifest, identities, directory, ids).make()
        except UpdateError:
            raise
        except AgentError as error:
            raise UpdateError(
                f"the rehearsal came to no end: {str(error).rstrip('.')}. {SAFE} When the reason is gone, "
                f"run the same again; or go without: {WITHOUT}"
            ) from error
    said = (
        f"on a copy of {manifest.name} the migration succeeded and the app answered "
        f"({seconds_text(time.monotonic() - began)})"
    )
    say(f"rehearsal: {said}")
    return said


def _newest(
    config: Config, credentials: Credentials, reader: Reader, catalogue: Catalogue
) -> tuple[Store, Manifest, list[Identity]]:
    """The newest backup, from the store that is nearest."""
    reasons = []
    for kind, store in open_stores(config, credentials).items():
        history = reader.read(store)
        newest = history.newest_first()
        if newest:
            manifest = catalogue.load(newest[0])
            return store, manifest, reader.keys.for_backup(manifest, [(store, history.objects)])
        reasons.append(f"{kind} holds none")
    raise UpdateError(
        f"there is no backup to rehearse on ({', '.join(reasons)}). {SAFE} Make one first: loomio-backup run"
    )


class _Rehearsal:
    def __init__(
        self,
        config: Config,
        store: Store,
        manifest: Manifest,
        identities: list[Identity],
        directory: Path,
        ids: Ids,
    ) -> None:
        self._config = config
        self._store = store
        self._manifest = manifest
        self._directory = directory
        self._ids = ids
        self._fetcher = DrillFetcher(store, directory, identities)

    def make(self) -> None:
        config, project = self._config, self._config.project
        memory = drill_gates.available_memory(drill_bench.meminfo(project, self._ids.database))
        drill_gates.require_memory(memory)
        lacking = drill_gates.too_little_for_the_app(memory - drill_gates.DATABASE_MEMORY)
        if lacking is not None:
            raise UpdateError(
                f"there is too little memory to rehearse: {lacking}. {SAFE} An update that fails leads back "
                f"by itself, so it can be made without: {WITHOUT}"
            )
        drill_gates.require_room(self._manifest, self._store, self._directory)
        guard = Guard([drill_gates.copies(), self._directory], lambda: drill_bench.halt(project))
        try:
            with (
                drill_bench.bench(project, self._directory) as bench,
                guard,
                bench.database(self._ids.database, config.database.user) as copy,
            ):
                self._take_over(bench, copy, self._restored(copy))
        except AgentError as error:
            if guard.reason is not None:
                raise DrillError(guard.reason) from error
            raise

    def _restored(self, copy: Copy) -> Bundle:
        with self._fetcher.content(self._manifest.only("config")) as source:
            settings = bundle.read(source)
        name = self._config.database.name
        restore_database.restore_beside(copy.helper, name, self._manifest, settings, self._fetcher)
        say(f"rehearsal: {self._manifest.database.rows} rows restored and compared")
        return settings

    def _take_over(self, bench: Bench, copy: Copy, settings: Bundle) -> None:
        """Migrate, start, ask."""
        variables = drill_app.environment(self._config, copy, settings)
        bench.start_redis(self._ids.redis)
        container = drill_app.start(bench, "migration", self._ids.app, variables, self._directory, *MIGRATE)
        code = _ended(container)
        if code != 0:
            said = drill_app.without(drill_bench.last_words(container), variables.values())
            drill_bench.require_running(copy.container, "the database of the copy")
            raise UpdateError(
                f"the migration failed in the rehearsal, on a copy (exit code {code}): "
                f"{said or 'it said nothing'}. {SAFE} Keep the version that runs in the settings until "
                "there is a newer one."
            )
        app = drill_app.start(bench, APP, self._ids.app, variables, self._directory)
        seconds = self._config.update.healthy_seconds
        answer = drill_app.answer_of(app, drill_app.LOOMIO_HEALTH, variables, seconds)
        if answer.startswith("skipped"):
            raise DrillError(f"the app could not be tried: {answer}.")
        if answer != drill_app.ANSWERED:
            drill_bench.require_running(copy.container, "the database of the copy")
            raise UpdateError(
                f"the new version does not run on a copy of the data: {answer}. {SAFE} Keep the version that "
                "runs in the settings until there is a newer one."
            )


def _ended(container: str) -> int:
    """Wait for the end of a container; its exit code."""
    ticker = Ticker("rehearsal")
    while True:
        running, code = docker.docker(
            "inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", container
        ).split()
        if running != "true":
            return int(code)
        ticker.tick("the migration is running")
        time.sleep(0.5)
