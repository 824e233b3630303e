"""`loomio-backup show NAME`: one backup in full: what it holds, where it is, and which keys open it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.check import missing_objects
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import Manifest, ObjectEntry
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.encryption.crypto import fingerprint, recipient_of
from loomio_backup.errors import AgentError, StoreError
from loomio_backup.progress import bytes_text, seconds_text
from loomio_backup.retention.pins import Pin, Pins, pin_name
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

_KINDS = ("database", "legacy", "config", "index", "pack")
_MOMENT = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True)
class Key:
    """A key that some object of the backup is encrypted for. `held`: this Pi has it."""

    fingerprint: str
    what: str
    held: bool
    objects: int


@dataclass(frozen=True)
class Copy:
    """A backup in one store: what is wrong with it there (sentences), and its pin if it has one."""

    store: str
    problems: list[str]
    pinned: bool
    pin: Pin | None


@dataclass(frozen=True)
class Shown:
    """One backup and everything around it. `places`: for each object the stores that hold it whole."""

    manifest: Manifest
    copies: list[Copy]
    places: dict[str, list[str]]
    keys: list[Key]


def run(config: Config, credentials: Credentials, name: str, as_json: bool) -> int:
    """The verb. A store that cannot be read is told at the end."""
    state = StateDirectory(config.state_directory)
    problems: list[str] = []
    with Catalogue(state.catalogue) as catalogue:
        reader = Reader(config, credentials, state, catalogue)
        pins = Pins(config, credentials, state, catalogue, reader)
        found: dict[str, tuple[Store, History]] = {}
        for kind, store in open_stores(config, credentials).items():
            try:
                found[kind] = store, reader.read(store)
            except StoreError as error:
                problems.append(f"{kind}: {error}")
        summaries = [one for _, history in found.values() for one in history.backups if one.name == name]
        if not summaries:
            raise AgentError(" ".join([f"there is no backup {name}. See loomio-backup list.", *problems]))
        manifest = catalogue.load(summaries[0])
        reader.keys.learn_for(
            manifest.objects, [(store, history.objects) for store, history in found.values()]
        )
        own = fingerprint(recipient_of(state.catalogue_identity()))
        shown = Shown(
            manifest,
            [_copy(manifest, store, history, pins) for store, history in found.values()],
            {entry.name: _places(entry, found) for entry in manifest.objects},
            list(_keys(manifest, config.recipients, own, reader.keys.fingerprints)),
        )
    print(json.dumps(document(shown), indent=1) if as_json else "\n".join(lines(shown)))
    if problems:
        raise AgentError(" ".join(problems))
    return 0


def _copy(manifest: Manifest, store: Store, history: History, pins: Pins) -> Copy:
    if all(summary.name != manifest.name for summary in history.backups):
        return Copy(store.kind, ["it is not there"], False, None)
    pinned = manifest.name in history.pins
    pin = pins.read(store, history.objects[pin_name(manifest.name)]) if pinned else None
    return Copy(store.kind, missing_objects(manifest, store, history), pinned, pin)


def _places(entry: ObjectEntry, found: Mapping[str, tuple[Store, History]]) -> list[str]:
    places = []
    for kind, (store, history) in found.items():
        stored = history.objects.get(entry.name) or store.stat(entry.name)
        if stored is not None and stored.matches(entry.digests):
            places.append(kind)
    return places


def _keys(manifest: Manifest, recipients: Sequence[str], own: str, held: set[str]) -> Iterator[Key]:
    present = [fingerprint(text) for text in recipients]
    counts: dict[str, int] = {}
    for entry in manifest.objects:
        for print_ in entry.key_fingerprints:
            counts[print_] = counts.get(print_, 0) + 1
    for print_, objects in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if print_ == own:
            what = "this Pi's own, for manifests and indexes"
        elif print_ in present:
            what = "in use now"
        else:
            what = "earlier, or another's"
        yield Key(print_, what, print_ in held, objects)


def document(shown: Shown) -> dict[str, Any]:
    """All of it, for programs: the manifest, and beside it where its objects are and what opens them."""
    found: dict[str, Any] = shown.manifest.model_dump(mode="json")
    for entry in found["objects"]:
        entry["stores"] = shown.places[entry["name"]]
    found["stored_bytes"] = shown.manifest.stored_bytes
    found["age_seconds"] = round(_age(shown.manifest), 1)
    found["stores"] = {
        copy.store: {
            "complete": not copy.problems,
            "problems": copy.problems,
            "pinned": copy.pinned,
            "pin": copy.pin.model_dump(mode="json") if copy.pin else None,
        }
        for copy in shown.copies
    }
    found["keys"] = [asdict(key) for key in shown.keys]
    return found


def lines(shown: Shown) -> Iterator[str]:
    """All of it, for people."""
    manifest = shown.manifest
    label = f", label {manifest.label}" if manifest.label else ""
    yield f"{manifest.name}  ({manifest.generation}.{manifest.sequence}, {manifest.kind}{label})"
    yield from _facts(manifest)
    for copy in shown.copies:
        yield _row("in " + copy.store, "complete" if not copy.problems else "; ".join(copy.problems))
        if copy.pinned:
            yield _row("", f"pinned{_reason(copy.pin)}")
    yield from _database(manifest)
    yield from _app_data(manifest)
    yield ""
    yield f"objects, {bytes_text(manifest.stored_bytes)} stored"
    for entry in sorted(manifest.objects, key=lambda entry: (_KINDS.index(entry.kind), entry.name)):
        places = ", ".join(shown.places[entry.name]) or "nowhere"
        sizes = f"{bytes_text(entry.stored_size):>9} of {bytes_text(entry.plain_size):>9}"
        yield f"  {entry.kind:<8}  {sizes}  {places:<12}  {entry.name}"
    yield ""
    yield "keys"
    for key in shown.keys:
        held = "this Pi has it" if key.held else "not on this Pi"
        yield f"  {key.fingerprint}  {key.objects} objects, {key.what}; {held}"
    if any(entry.kind == "legacy" for entry in manifest.objects):
        yield "  the passphrase of the older scripts opens the object of kind legacy"
    if manifest.signed_by:
        yield f"  {manifest.signed_by}  signed the manifest"
    without_file = manifest.attachments_missing
    for title, texts in (("warnings", manifest.warnings), ("attachments without a file", without_file)):
        if texts:
            yield from ("", title, *(f"  {text}" for text in texts))


def _facts(manifest: Manifest) -> Iterator[str]:
    yield _row("data of", f"{manifest.snapshot_at:{_MOMENT}}, {seconds_text(max(0.0, _age(manifest)))} old")
    took = (manifest.finished_at - manifest.started_at).total_seconds()
    phases = ", ".join(f"{phase} {seconds_text(seconds)}" for phase, seconds in manifest.durations.items())
    yield _row("made", f"{manifest.started_at:{_MOMENT}}, in {seconds_text(took)} ({phases})")
    yield _row("after", manifest.previous or "nothing: it is the first")
    yield _row("host", f"{manifest.host}, loomio-backup {manifest.program_version}")
    yield _row("stack", manifest.stack.commit or "not from a git repository")
    for service, image in sorted(manifest.stack.images.items()):
        yield _row("", f"{service}: {image.reference}")


def _database(manifest: Manifest) -> Iterator[str]:
    content = manifest.database
    yield ""
    yield f"database {content.name}, {content.rows} rows"
    schema = content.schema_migration or "unknown"
    yield f"  PostgreSQL {content.postgresql_version}, schema migration {schema}"
    for table, rows in sorted(content.tables.items(), key=lambda item: (-item[1], item[0])):
        yield f"  {rows:>10}  {table}"


def _app_data(manifest: Manifest) -> Iterator[str]:
    content = manifest.app_data
    yield ""
    yield f"app-data, {content.files} files, {bytes_text(content.bytes)}"
    for source in content.sources:
        part = content.by_source.get(source)
        yield f"  {source}: {part.files} files, {bytes_text(part.bytes)}" if part else f"  {source}"
    for path in content.changed_while_read:
        yield f"  changed each time it was read: {path}"


def _reason(pin: Pin | None) -> str:
    return f" on {pin.pinned_at:{_MOMENT}} by a {pin.by}: {pin.reason}" if pin else ""


def _age(manifest: Manifest) -> float:
    return (clock.now() - manifest.snapshot_at).total_seconds()


def _row(title: str, text: str) -> str:
    return f"  {title:<9} {text}"
