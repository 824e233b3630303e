"""The copy of a store on the operator's machine: what is at the source comes in, and nothing ever goes out.

The copy is an ordinary local store, in which a manifest stands only beside all that it needs.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from deploys.console import pull_histories
from deploys.console.pull_histories import Histories, Keys, Listing, Source, by_order
from loomio_backup import clock
from loomio_backup.catalogue.manifest import PIN_SUFFIX, SUFFIX, Manifest, ObjectEntry
from loomio_backup.catalogue.objects import hash_file
from loomio_backup.errors import StoreDamaged, StoreFull, StoreNotFound
from loomio_backup.progress import Ticker, bytes_text, say
from loomio_backup.retention import pins
from loomio_backup.state import sync_directory, sync_file
from loomio_backup.stores.base import StoredObject
from loomio_backup.stores.local import LocalFolder

PART = ".part"
"""Ends the name of a file in `incoming` that a source goes on with."""
_FRESH = timedelta(hours=1)
"""So long, Drive's lists may lack an object that is there."""


@dataclass
class Report:
    """What was done, and found. `backups` are complete; `problems` are sentences for somebody to read."""

    fetched: int = 0
    fetched_bytes: int = 0
    backups: list[Manifest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def newest(self) -> Manifest | None:
        """The newest backup of the copy."""
        return max(self.backups, key=by_order, default=None)


class Copy:
    """The folder `directory`. `incoming`, on the same disk, is where objects stay until they are proven.
    `lists_lag`: the source may hold what it does not list yet.
    """

    def __init__(
        self, source: Source, directory: Path, incoming: Path, keys: Keys, *, lists_lag: bool = True
    ) -> None:
        self._source, self._directory, self._incoming, self._keys = source, directory, incoming, keys
        self._store = LocalFolder(directory)
        self._lists_lag = lists_lag
        self._there: Listing = {}
        self._settled: dict[str, bool] = {}
        self._ticker = Ticker("fetching")
        self.report = Report()

    def pull(self, read_data: bool) -> Report:
        """Bring everything here. With `read_data` what is here already is read and compared, too.

        Raises StoreError when the source cannot be reached (what came before stays), or without room.
        """
        self._store.verify_access()
        for path in self._incoming.iterdir():
            if path.suffix != PART:  # fetched by an interrupted pull, and not yet proven
                path.unlink()
        self._there = pull_histories.listed(self._source)
        histories = pull_histories.read(
            self._source, self._there, self._store, self._directory, self._incoming, self._keys
        )
        self.report.problems += histories.problems
        self._require_room(histories)
        for manifest in histories.newest_first:
            self._bring(manifest, manifest.name in histories.here, read_data)
        self._bring_pins()
        self._look_at_the_source(histories)
        self._look_at_the_copy(histories)
        return self.report

    def _bring(self, manifest: Manifest, is_here: bool, read_data: bool) -> None:
        """Fetch what a backup needs, and its manifest last."""
        complete = True
        for entry in manifest.objects:
            if entry.name not in self._settled:
                self._settled[entry.name] = self._bring_object(entry, read_data)
            complete &= self._settled[entry.name]
        if complete:
            if not is_here:
                self._keep(manifest.manifest_name)
            self.report.backups.append(manifest)
        elif is_here:
            self.report.problems.append(
                f"{manifest.name} is not complete in this copy any more: an object is missing or damaged "
                "here, and the source has no good one."
            )

    def _bring_object(self, entry: ObjectEntry, read_data: bool) -> bool:
        """Whether the object is here afterwards, as the manifest says that it is."""
        present = self._store.stat(entry.name)
        if present is not None and present.size == entry.stored_size:
            if not read_data:
                return True
            self._ticker.tick(f"reading {entry.name}")
            if _is(self._directory / entry.name, entry):
                return True
        for stored in self._candidates(entry):
            path = self._incoming / entry.name
            try:
                self._source.get(stored, path, self._progress)
                good = _is(path, entry)
            except (StoreDamaged, StoreNotFound):
                good = False
            if good:
                self._keep(entry.name)
                self.report.fetched += 1
                self.report.fetched_bytes += entry.stored_size
                return True
            # Told by _look_at_the_source, unless its backup was removed meanwhile.
            self._there[entry.name].remove(stored)
            path.unlink(missing_ok=True)
        return False

    def _progress(self, done: int) -> None:
        total = bytes_text(self.report.fetched_bytes + done)
        self._ticker.tick(f"{self.report.fetched} objects, {total}")

    def _candidates(self, entry: ObjectEntry) -> list[StoredObject]:
        """Objects of that name at the source which could be it."""
        return [stored for stored in self._there.get(entry.name, []) if stored.matches(entry.digests)]

    def _bring_pins(self) -> None:
        """Pins are small, and their presence is what counts: one too many does no harm."""
        backups = {manifest.name for manifest in self.report.backups}
        for name, found in self._there.items():
            wanted = name.endswith(PIN_SUFFIX) and name.removesuffix(PIN_SUFFIX) in backups
            if wanted and found[0].size <= pins.MOST_BYTES and self._store.stat(name) is None:
                self._source.get(found[0], self._incoming / name)
                self._keep(name)

    # -- what somebody has to know ---------------------------------------------------------------------------

    def _look_at_the_source(self, histories: Histories) -> None:
        """Tell what the source's own backups lack, unless it is just on its way into or out of its lists."""
        lacking: dict[str, list[str]] = {}
        for manifest in histories.theirs.values():
            for entry in manifest.objects:
                if not self._candidates(entry):
                    lacking.setdefault(manifest.name, []).append(entry.name)
        still = pull_histories.listed(self._source) if lacking else {}
        for name, objects in lacking.items():
            fresh = self._lists_lag and clock.now() - histories.theirs[name].finished_at < _FRESH
            if name + SUFFIX not in still or fresh:
                say(f"{name} is not complete at the source at this moment; the next pull looks again")
                continue
            more = f" and {len(objects) - 1} more" if len(objects) > 1 else ""
            kept = sum(1 for one in objects if self._settled.get(one))
            self.report.problems.append(
                f"{name} is not complete at the source: {objects[0]}{more} missing or damaged there. This "
                f"copy has {kept} of these {len(objects)}."
            )

    def _look_at_the_copy(self, histories: Histories) -> None:
        complete = {manifest.manifest_name for manifest in self.report.backups}
        for name, sentence in histories.damaged.items():
            if name in complete:
                say(f"{name} was damaged in this copy, and is mended")
            else:
                self.report.problems.append(
                    f"{name} in this copy cannot be believed, and the source has no good one: {sentence}"
                )

    # -- files -----------------------------------------------------------------------------------------------

    def _keep(self, name: str) -> None:
        sync_file(self._incoming / name)
        (self._incoming / name).rename(self._directory / name)
        sync_directory(self._directory)

    def _require_room(self, histories: Histories) -> None:
        absent = [entry for name, entry in histories.entries.items() if self._store.stat(name) is None]
        needed = sum(entry.stored_size for entry in absent if self._candidates(entry))
        free = self._store.space().free
        if free is not None and needed > free:
            raise StoreFull(
                f"{bytes_text(needed)} are to be fetched, and {self._directory} has {bytes_text(free)} left. "
                "Nothing was changed. Make room, or name a folder on a larger disk."
            )


def _is(path: Path, entry: ObjectEntry) -> bool:
    size, sha256, _ = hash_file(path)
    return (size, sha256) == (entry.stored_size, entry.stored_sha256)
