"""`loomio-backup check`: are the backups complete, is the newest as young as the schedule promises, and with
`--read-data`: is every byte what it should be?

Complete means: every object is there, with the size and (where the store keeps one) the hash of the manifest,
and no manifest in the store is damaged or foreign: it could be the newest backup's.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.backup.reading import place
from loomio_backup.catalogue import lineage
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.inspection import Findings, Inspection, Tools
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.config import Config
from loomio_backup.credentials import KEYRING, Credentials
from loomio_backup.encryption import keyring, legacy
from loomio_backup.errors import CheckError, StoreError
from loomio_backup.monitoring import freshness
from loomio_backup.progress import bytes_text, say, seconds_text
from loomio_backup.restore import expectation
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

_CLOCKS = timedelta(minutes=5)
"""How far into the future a snapshot may lie: clocks differ a little."""
_TOLD = 5
"""Damaged objects that the final sentence names; all of them were told before."""


@dataclass
class Verdict:
    """What was found. Times are ISO 8601 in UTC; ages in seconds. `ok`: nothing is wrong; `complete`: the
    newest backup is whole. `inspected` is None where only the newest was looked at.
    """

    store: str
    ok: bool
    complete: bool
    problems: list[str]
    backup: str | None = None
    snapshot: str | None = None
    age_seconds: float | None = None
    allowed_seconds: float | None = None
    inspected: Findings | None = None


@dataclass(frozen=True)
class Scope:
    """What to look at: one store or all, the newest backup or all, the store's word or every byte.
    `newer_than`: how young the newest backup has to be, whatever the schedule says.
    """

    store: str | None
    all_backups: bool
    read_data: bool
    newer_than: datetime | None = None


def run(config: Config, credentials: Credentials, scope: Scope, as_json: bool) -> int:
    """The verb. Raises CheckError with the sentence when not all is well."""
    state = StateDirectory(config.state_directory)
    stores = open_stores(config, credentials)
    if scope.store is not None and scope.store not in stores:
        raise CheckError(f"no store {scope.store} is configured.")
    wanted = [scope.store] if scope.store else list(stores)
    with Catalogue(state.catalogue) as catalogue:
        check = _Check(config, credentials, state, catalogue, stores, as_json)
        verdicts = [check.verdict(kind, scope) for kind in wanted]
    if as_json:
        documents = [asdict(verdict) for verdict in verdicts]
        print(json.dumps(documents[0] if scope.store else documents, indent=1))
    problems = [
        f"the backups in {verdict.store} are not as they should be: {'; '.join(verdict.problems)}"
        for verdict in verdicts
        if not verdict.ok
    ]
    if problems:
        raise CheckError(". ".join(problems))
    return 0


class _Check:
    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        state: StateDirectory,
        catalogue: Catalogue,
        stores: Mapping[str, Store],
        quiet: bool,
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._state = state
        self._catalogue = catalogue
        self._stores = stores
        self._quiet = quiet
        self._reader = Reader(config, credentials, state, catalogue)

    def verdict(self, kind: str, scope: Scope) -> Verdict:
        """Judge one store."""
        store = self._stores[kind]
        try:
            history = self._reader.read(store)
            verdict = judge(self._config, store, history, self._catalogue, clock.now(), scope.newer_than)
            if scope.read_data:
                with place(self._state, "check") as directory:
                    verdict.inspected = self._inspect(store, history, directory)
            elif scope.all_backups:
                verdict.inspected = self._inspect(store, history, None)
        except StoreError as error:
            return Verdict(kind, ok=False, complete=False, problems=[str(error)])
        if verdict.inspected is not None:
            verdict.problems += _summary(kind, history, verdict.inspected, verdict.problems)
            verdict.ok = not verdict.problems
        if verdict.ok and not self._quiet:
            assert verdict.age_seconds is not None
            say(f"{verdict.backup} is complete in {kind} and {seconds_text(verdict.age_seconds)} old.")
        return verdict

    def _inspect(self, store: Store, history: History, directory: Path | None) -> Findings:
        tools = None
        if directory is not None:
            tools = self._tools(directory)
        inspection = Inspection(store, history, self._catalogue, self._quiet)
        manifests = (self._catalogue.load(summary) for summary in history.newest_first())
        found = inspection.inspect(manifests, tools)
        if found.damaged:
            inspection.find_copies(self._others(store.kind))
        if not self._quiet:
            for line in _lines(store.kind, found, directory is not None):
                say(line)
        return found

    def _tools(self, directory: Path) -> Tools:
        ring = self._credentials.optional(KEYRING)
        return Tools(
            directory,
            self._reader.keys,
            (self._config.signing_public_key, *self._config.old_signing_public_keys),
            legacy.reading_key(self._credentials),
            None if ring is None else keyring.object_name(keyring.as_stored(ring)),
        )

    def _others(self, kind: str) -> Iterator[History]:
        for other, store in self._stores.items():
            if other != kind:
                try:
                    yield self._reader.read(store)
                except StoreError as error:
                    if not self._quiet:
                        say(f"{other} may hold copies, but cannot be asked: {error}")


def _summary(kind: str, history: History, found: Findings, told: list[str]) -> list[str]:
    """What to say in the end: what is damaged (and not told yet), what is safe, what to do."""
    if not found.damaged:
        return []
    fresh = [damage for damage in found.damaged if not any(damage.object in text for text in told)]
    names = [f"{damage.object}: {damage.problem}" for damage in fresh[:_TOLD]]
    if len(fresh) > _TOLD:
        names.append(f"and {len(fresh) - _TOLD} more objects, see above")
    whole = [summary.name for summary in history.newest_first() if summary.name not in found.harmed]
    safe = f"{len(whole)} of the {found.backups} backups in {kind} are whole"
    safe += f", the newest of them is {whole[0]}" if whole else ""
    copies = sorted({other for damage in found.damaged for other in damage.whole_in})
    if copies and all(damage.whole_in for damage in found.damaged):
        safe += f"; {' and '.join(copies)} holds whole copies of all that is damaged here"
    advice = "The next backup does not rely on what is damaged, so type: loomio-backup run"
    return [*names, f"{safe}. {advice}"]


def _lines(kind: str, found: Findings, read: bool) -> list[str]:
    lines = []
    for damage in found.damaged:
        needed = f", needed by {', '.join(damage.needed_by)}" if damage.needed_by else ""
        whole = f"; {' and '.join(damage.whole_in)} lists it whole" if damage.whole_in else ""
        lines.append(f"{kind}: {damage.object}{needed}: {damage.problem}{whole}")
    good = found.objects - sum(1 for damage in found.damaged if damage.needed_by)
    line = f"{kind}: {good} of {found.objects} objects of {found.backups} backups are as they should be"
    if read:
        line += f": {bytes_text(found.bytes_read)} were read, {found.opened} objects were opened"
    return [*lines, line]


def judge(
    config: Config,
    store: Store,
    history: History,
    catalogue: Catalogue,
    now: datetime,
    newer_than: datetime | None = None,
) -> Verdict:
    """Look at the newest backup of a store."""
    unreadable = [f"{name} cannot be used: {sentence}" for name, sentence in history.damaged]
    unreadable += [f"no key of this Pi opens {name}" for name in history.foreign]
    unreadable += [f"{name} is gone, and this Pi did not remove it" for name in history.missing]
    unreadable += [
        f"{summary.name} is a backup of another Loomio; give each its own folder in the settings"
        for summary in lineage.strangers(catalogue.lineage(), history.backups)
    ]
    newest = next(iter(history.newest_first()), None)
    if newest is None:
        problems = unreadable or ["there is no backup at all; run loomio-backup run"]
        return Verdict(history.store, ok=False, complete=False, problems=problems)
    manifest = catalogue.load(newest)
    incomplete = unreadable + missing_objects(manifest, store, history)
    age = now - manifest.snapshot_at
    allowed = freshness.late_at(config, history.store, manifest.snapshot_at) - manifest.snapshot_at
    problems = list(incomplete)
    if age > allowed:
        problems.append(
            f"the newest backup, {manifest.name}, is {seconds_text(age.total_seconds())} old, "
            f"but by the schedule the next one had to be there after {seconds_text(allowed.total_seconds())}"
        )
    short = expectation.shortened(manifest.name, manifest.snapshot_at, newer_than, config.timezone)
    problems += [short] if short is not None else []
    if age < -_CLOCKS:
        problems.append(
            f"the newest backup, {manifest.name}, was made {seconds_text(-age.total_seconds())} in the "
            "future: the clock of this Pi is wrong, or was when it was made (look with timedatectl), so its "
            "age cannot be told"
        )
    return Verdict(
        store=history.store,
        ok=not problems,
        complete=not incomplete,
        problems=problems,
        backup=manifest.name,
        snapshot=manifest.snapshot_at.isoformat(),
        age_seconds=round(age.total_seconds(), 1),
        allowed_seconds=allowed.total_seconds(),
    )


def missing_objects(manifest: Manifest, store: Store, history: History) -> list[str]:
    """A sentence for every object of a backup that the store does not hold as the manifest describes it."""
    problems = []
    for entry in manifest.objects:
        # A fresh object may be missing from a list for a while; asking for it by name finds it.
        stored = history.objects.get(entry.name) or store.stat(entry.name)
        if stored is None:
            problems.append(f"{entry.name}, which {manifest.name} needs, is missing")
        elif not stored.matches(entry.digests):
            problems.append(f"{entry.name}, which {manifest.name} needs, is damaged")
    return problems
