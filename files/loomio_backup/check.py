"""`loomio-backup check`: is the newest backup complete in a store, and as young as the schedule promises?

Complete means: every object is there, with the size and (where the store keeps one) the hash of the manifest,
and no manifest in the store is damaged or foreign: it could be the newest backup's.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from loomio_backup import clock, freshness
from loomio_backup.backup import open_stores
from loomio_backup.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import CheckError, StoreError
from loomio_backup.history import History, Reader
from loomio_backup.manifest import Manifest
from loomio_backup.progress import seconds_text
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

_CLOCKS = timedelta(minutes=5)
"""How far into the future a snapshot may lie: clocks differ a little."""


@dataclass
class Verdict:
    """What was found. Times are ISO 8601 in UTC; ages in seconds."""

    store: str
    ok: bool
    complete: bool
    problems: list[str]
    backup: str | None = None
    snapshot: str | None = None
    age_seconds: float | None = None
    allowed_seconds: float | None = None


def run(config: Config, credentials: Credentials, kind: str, as_json: bool) -> int:
    """The verb. Raises CheckError with the sentence when not all is well."""
    state = StateDirectory(config.state_directory)
    store = open_stores(config, credentials).get(kind)
    if store is None:
        raise CheckError(f"no store {kind} is configured.")
    with Catalogue(state.catalogue) as catalogue:
        try:
            history = Reader(config, credentials, state, catalogue).read(store)
            verdict = judge(config, store, history, catalogue, clock.now())
        except StoreError as error:
            verdict = Verdict(kind, ok=False, complete=False, problems=[str(error)])
    if as_json:
        print(json.dumps(asdict(verdict), indent=1))
    if not verdict.ok:
        raise CheckError(f"the backups in {kind} are not as they should be: {'; '.join(verdict.problems)}")
    if not as_json:
        assert verdict.age_seconds is not None
        print(f"{verdict.backup} is complete in {kind} and {seconds_text(verdict.age_seconds)} old.")
    return 0


def judge(config: Config, store: Store, history: History, catalogue: Catalogue, now: datetime) -> Verdict:
    """Look at the newest backup of a store."""
    unreadable = [f"{name} cannot be used: {sentence}" for name, sentence in history.damaged]
    unreadable += [f"no key of this Pi opens {name}" for name in history.foreign]
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
