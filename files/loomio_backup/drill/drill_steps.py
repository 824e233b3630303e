"""One drill, from an empty bench to what it found: a backup comes back from one store, beside everything, and
is compared and asked.

What is wrong with the backup is collected, so that one drill tells all of it. What keeps the drill itself
from its end (a store that does not answer, a server that ends) is raised: it proves nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loomio_backup import clock, docker
from loomio_backup.backup import bundle
from loomio_backup.backup.bundle import Bundle
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.config import Config
from loomio_backup.database import people
from loomio_backup.database.people import Look
from loomio_backup.database.psql import SqlError
from loomio_backup.drill import drill_app, drill_bench, drill_database, drill_gates
from loomio_backup.drill.drill_bench import Bench, Copy
from loomio_backup.drill.drill_fetch import DrillFetcher
from loomio_backup.drill.drill_files import FileCheck, FileFindings
from loomio_backup.drill.drill_guard import Guard
from loomio_backup.drill.drills import Drill, Scope
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import AgentError, DamagedObject, DrillError, ManifestError, RestoreError, WrongKey
from loomio_backup.progress import Stopwatch, bytes_text, say, seconds_text
from loomio_backup.restore import restore_database
from loomio_backup.stores import Store

_WRONG: tuple[type[AgentError], ...] = (DamagedObject, ManifestError, WrongKey, RestoreError, SqlError)
"""What is held against the backup."""


class Drilling:
    """The drill of one backup. `directory` belongs to it alone, and need not be cleared by it."""

    def __init__(
        self, config: Config, store: Store, manifest: Manifest, scope: Scope, directory: Path
    ) -> None:
        self._config = config
        self._store = store
        self._manifest = manifest
        self._scope: Scope = scope
        self._directory = directory
        self._began = clock.now()
        self._watch = Stopwatch()
        self._fetcher = DrillFetcher(store, directory, [])
        self._fetched = 0.0
        self._problems: list[str] = []
        self._phases: dict[str, float] = {}
        self._look: Look | None = None
        self._rows = 0
        self._app: str | None = None

    def refused(self, problems: Sequence[str]) -> Drill:
        """The drill of a backup of which it is known beforehand that it cannot come back."""
        return self._drill(FileFindings(), list(problems))

    def make(self, identities: Sequence[Identity]) -> Drill:
        """Do it. Raises AgentError when it came to no end; everything is cleared up either way."""
        live = docker.service_container(self._config.project, self._config.database.service)
        meminfo = drill_bench.meminfo(self._config.project, live.image_id)
        drill_gates.require_memory(drill_gates.available_memory(meminfo))
        drill_gates.require_room(self._manifest, self._store, self._directory)
        self._fetcher = DrillFetcher(self._store, self._directory, identities)
        files = FileCheck(self._manifest, self._fetcher, self._directory)
        project = self._config.project
        guard = Guard([drill_gates.copies(), self._directory], lambda: drill_bench.halt(project))
        try:
            with drill_bench.bench(project, self._directory) as bench, guard:
                self._restore(bench, live.image_id, files)
            self._lap("clear")
        except AgentError as error:
            if guard.reason is not None:
                raise DrillError(guard.reason) from error
            raise
        finally:
            files.close()
        return self._drill(files.findings, self._problems + files.findings.problems)

    def _restore(self, bench: Bench, image_id: str, files: FileCheck) -> None:
        with bench.database(image_id, self._config.database.user) as copy:
            self._lap("prepare")
            settings = self._database(copy, files)
            self._files(copy, files)
            if settings is not None:
                self._try_app(bench, copy, settings)

    def _database(self, copy: Copy, files: FileCheck) -> Bundle | None:
        """The database as recovery would restore it; what the app needs, if it did."""
        name = self._config.database.name
        with self._held_against(copy):
            with self._fetcher.content(self._manifest.only("config")) as source:
                settings = bundle.read(source)
            restore_database.restore_beside(copy.helper, name, self._manifest, settings, self._fetcher)
            self._rows = self._manifest.database.rows
            self._lap("database")
            self._look = people.look(copy.helper, name)
            files.remember(drill_database.blobs(copy.helper, name))
            self._lap("questions")
            say(
                f"drill: {len(self._manifest.database.tables)} tables, {self._rows} rows came back and were "
                f"compared in {seconds_text(self._phases['database'])}"
            )
            return settings
        self._lap("database")
        return None

    def _files(self, copy: Copy, files: FileCheck) -> None:
        with self._held_against(copy):
            files.load_index()
            if self._look is not None:
                files.match_attachments()
            files.read_packs(sample=self._scope == "sample")
        self._lap("files")
        found = files.findings
        say(
            f"drill: {found.files} files, {bytes_text(found.bytes)} were read and compared in "
            f"{seconds_text(self._phases['files'])}; {found.attachments} attachments"
        )

    def _try_app(self, bench: Bench, copy: Copy, settings: Bundle) -> None:
        self._app = drill_app.try_out(self._config, bench, copy, settings, self._directory)
        self._lap("app")
        say(f"drill: the app: {self._app}")
        if self._app.startswith("failed"):
            drill_bench.require_running(copy.container, "the database of the copy")
            self._problems.append(f"the app does not run with {self._manifest.name}: {self._app}")

    @contextmanager
    def _held_against(self, copy: Copy) -> Iterator[None]:
        """What goes wrong here is the backup's fault, unless the copy's own server has ended."""
        try:
            yield
        except _WRONG as error:
            drill_bench.require_running(copy.container, "the database of the copy")
            self._require_still_there()
            say(f"drill: {error}")
            self._problems.append(str(error).rstrip("."))

    def _require_still_there(self) -> None:
        """Who prunes from elsewhere knows nothing of our lease."""
        name = self._manifest.manifest_name
        if self._store.stat(name) is None:
            raise DrillError(
                f"{self._manifest.name} was removed from {self._store.kind} while the drill was reading it, "
                "so the drill came to no end. Run it again: loomio-backup verify"
            )

    def _lap(self, phase: str) -> None:
        """Close a phase; the fetching in it is a phase of its own."""
        seconds = self._watch.lap(phase)
        fetched = self._fetcher.seconds - self._fetched
        self._fetched = self._fetcher.seconds
        self._phases[phase] = round(self._phases.get(phase, 0.0) + max(0.0, seconds - fetched), 3)
        self._phases["fetch"] = round(self._phases.get("fetch", 0.0) + fetched, 3)

    def _drill(self, files: FileFindings, problems: list[str]) -> Drill:
        look, finished = self._look, clock.now()
        return Drill(
            store=self._store.kind,
            backup=self._manifest.name,
            snapshot_at=self._manifest.snapshot_at,
            started_at=self._began,
            finished_at=max(finished, self._began),
            scope=self._scope,
            passed=not problems,
            problems=problems,
            phases=self._phases,
            tables=len(self._manifest.database.tables) if look else 0,
            rows=self._rows,
            files=files.files,
            bytes=files.bytes,
            objects_fetched=self._fetcher.objects,
            bytes_fetched=self._fetcher.bytes,
            attachments=files.attachments,
            attachments_missing=files.missing,
            database_bytes=look.database_bytes if look else None,
            users=look.users if look else None,
            latest_activity=look.latest_activity if look else None,
            app=self._app,
        )
