"""`loomio-backup candidate`: which backup a recovery would take, and which version of the stack it is of.

Asked on a new Pi before anything is started there: an app that is newer than its data changes the data at
once. Looks at what the stores list; every byte is looked at by the restore.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue, Summary
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import Manifest, Stack
from loomio_backup.command.listing import merged
from loomio_backup.config import Config
from loomio_backup.credentials import IDENTITY, Credentials
from loomio_backup.errors import RestoreError, StoreError
from loomio_backup.progress import seconds_text
from loomio_backup.restore.restore_choice import Candidate, staleness, unreadable
from loomio_backup.restore.restore_journal import PassedOver
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

Shelves = Mapping[str, tuple[Store, History]]
"""The stores that could be read, and what each holds."""


@dataclass
class Answer:
    """The backup, and what was passed over for it (or what it lacks, where it was asked for by name).
    `stale`: a sentence when it is older than the schedule allows; `unread`: sentences about stores that could
    not be asked.
    """

    manifest: Manifest
    stores: list[str]
    stale: str | None = None
    passed_over: list[PassedOver] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wish:
    """What was typed. `backup`: this one; `lent`: the identity comes on standard input."""

    store: str | None = None
    backup: str | None = None
    lent: bool = False
    as_json: bool = False


class _Lent(Credentials):
    """The Pi's credentials and an identity that is lent to it, in memory only (offline key)."""

    def __init__(self, others: Credentials, identity: str) -> None:
        self._others = others
        self._identity = identity

    def optional(self, name: str) -> str | None:
        return self._identity if name == IDENTITY else self._others.optional(name)

    def required(self, name: str) -> str:
        return self._identity if name == IDENTITY else self._others.required(name)


def run(config: Config, credentials: Credentials, wish: Wish) -> int:
    """The verb. Raises RestoreError when there is none."""
    if wish.lent:
        credentials = _Lent(credentials, sys.stdin.read().strip())
    found = choose(config, credentials, wish)
    print(json.dumps(document(found), indent=1) if wish.as_json else "\n".join(lines(found)))
    return 0


def choose(config: Config, credentials: Credentials, wish: Wish) -> Answer:
    """The newest backup of which everything is there, or the one that was asked for."""
    state = StateDirectory(config.state_directory)
    shelves: dict[str, tuple[Store, History]] = {}
    unread: list[str] = []
    with Catalogue(state.catalogue) as catalogue:
        reader = Reader(config, credentials, state, catalogue)
        for kind, store in open_stores(config, credentials).items():
            if wish.store in (None, kind):
                try:
                    shelves[kind] = store, reader.read(store)
                except StoreError as error:
                    unread.append(f"{kind}: {error}")
        found = _first_whole(config, shelves, catalogue, wish.backup)
    if isinstance(found, list):
        reasons = [*(f"{one.backup}: {one.reason}" for one in found), *unread]
        what = f"there is no backup {wish.backup}" if wish.backup else "there is no backup to come back from"
        raise RestoreError(f"{what}. Nothing was changed. {' '.join(reasons)}".rstrip())
    found.unread = unread
    return found


def _first_whole(
    config: Config, shelves: Shelves, catalogue: Catalogue, only: str | None
) -> Answer | list[PassedOver]:
    """The first that is whole, or why each of them is not; `only`: that one, whole or not."""
    passed = unreadable([history for _, history in shelves.values()])
    for row in merged([history for _, history in shelves.values()]):
        if only not in (None, row.summary.name):
            continue
        manifest = catalogue.load(row.summary)
        missing = _missing(manifest, row.summary, shelves)
        own = [PassedOver(backup=manifest.name, reason=missing)] if missing else []
        if missing is None or only:
            newer = [] if only else [one for one in passed if one.backup > manifest.name]
            stale = staleness(config, Candidate(row.summary, [shelves[kind][0] for kind in row.stores]))
            return Answer(manifest, row.stores, stale, own + newer)
        passed += own
    return passed


def _missing(manifest: Manifest, summary: Summary, shelves: Shelves) -> str | None:
    """What no store holds of a backup; a restore takes each object from whichever store has it whole."""
    holding = [pair for pair in shelves.values() if summary.name in {one.name for one in pair[1].backups}]
    for entry in manifest.objects:
        if entry.kind == "legacy":
            continue
        present = [history.objects.get(entry.name) or store.stat(entry.name) for store, history in holding]
        if not any(stored is not None and stored.matches(entry.digests) for stored in present):
            word = "damaged" if any(stored is not None for stored in present) else "missing"
            return f"{entry.name}, which it needs, is {word} in {' and '.join(s.kind for s, _ in holding)}."
    return None


def document(found: Answer) -> dict[str, object]:
    """All of it, for the deploys. Times in ISO 8601 (UTC), ages in seconds."""
    manifest = found.manifest
    return {
        "backup": manifest.name,
        "stores": found.stores,
        "snapshot": manifest.snapshot_at.isoformat(),
        "age_seconds": round(_age(manifest), 1),
        "stale": found.stale,
        "passed_over": [one.model_dump() for one in found.passed_over],
        "unread": found.unread,
        "host": manifest.host,
        "stack": manifest.stack.model_dump(),
        "postgresql_version": manifest.database.postgresql_version,
        "server_version_num": manifest.database.server_version_num,
    }


def lines(found: Answer) -> list[str]:
    """All of it, for people."""
    manifest = found.manifest
    said = [f"{one.backup} is passed over: {one.reason}" for one in found.passed_over]
    said += found.unread
    said.append(
        f"{manifest.name}, {seconds_text(max(0.0, _age(manifest)))} old, in {' and '.join(found.stores)}: "
        f"PostgreSQL {manifest.database.postgresql_version}, {_version(manifest.stack)}"
    )
    return [*said, found.stale] if found.stale else said


def _version(stack: Stack) -> str:
    images = ", ".join(f"{service} {image.reference}" for service, image in sorted(stack.images.items()))
    return f"commit {stack.commit or 'unknown'}" + (f", {images}" if images else "")


def _age(manifest: Manifest) -> float:
    return (clock.now() - manifest.snapshot_at).total_seconds()
