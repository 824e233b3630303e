"""Manifests: what one backup consists of. Written last; a backup without its manifest does not exist.

A manifest object is age(JSON {"format": …, "version": 1, "payload": …, "signature": …}): the payload is the
manifest's own JSON as text, the signature Ed25519 over the payload's UTF-8 bytes. A reader verifies first and
parses then.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from loomio_backup.catalogue.objects import Digests, read_object, write_sealed
from loomio_backup.encryption import crypto
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import ManifestError

FORMAT = "loomio-backup-manifest"
VERSION = 1
PREFIX = "loomio_backup_"
SUFFIX = ".manifest.age"
MOST_BYTES = 64 << 20
"""Far more than tables, packs and missing attachments ever need: whoever else can write to a store must not
be able to fill the Pi's temporary files.
"""
PIN_SUFFIX = ".pin.age"
"""An object `NAME.pin.age` says that the backup NAME is to be kept."""

ObjectKind = Literal["database", "config", "pack", "index", "legacy"]
"""`legacy`: the database once more, in the format of the older backup scripts."""


class Part(BaseModel):
    """Unknown fields are ignored: a later program may add some without a new format version."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ObjectEntry(Part):
    """One object that the backup needs. Sizes in bytes, hashes in hex; plain is before compression."""

    name: str
    kind: ObjectKind
    plain_size: int
    plain_sha256: str
    stored_size: int
    stored_sha256: str
    stored_md5: str
    key_fingerprints: list[str]

    @classmethod
    def of(cls, name: str, kind: ObjectKind, digests: Digests, recipients: Sequence[str]) -> "ObjectEntry":
        """The entry for an object that was just written for these recipients (`age1…`)."""
        return cls(
            name=name,
            kind=kind,
            plain_size=digests.plain_size,
            plain_sha256=digests.plain_sha256,
            stored_size=digests.stored_size,
            stored_sha256=digests.stored_sha256,
            stored_md5=digests.stored_md5,
            key_fingerprints=[crypto.fingerprint(text) for text in recipients],
        )

    @property
    def digests(self) -> Digests:
        """The sizes and hashes as stores want them."""
        return Digests(
            plain_size=self.plain_size,
            plain_sha256=self.plain_sha256,
            stored_size=self.stored_size,
            stored_sha256=self.stored_sha256,
            stored_md5=self.stored_md5,
        )


class Image(Part):
    """What a Compose service ran: the reference in the Compose file, the image's id, its registry digests."""

    reference: str
    id: str
    digests: list[str]


class Stack(Part):
    """The version of the stack that was backed up; commit is None outside a git repository."""

    commit: str | None
    images: dict[str, Image]


class DatabaseContent(Part):
    """Rows per table (`schema.table`, quoted as in SQL), counted in the dump's own snapshot."""

    name: str
    postgresql_version: str
    server_version_num: int
    schema_migration: str | None
    tables: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(self.tables.values())


class SourceContent(Part):
    """What the index lists of one source; bytes are the files' sizes."""

    files: int
    bytes: int


class AppDataContent(Part):
    """What the index lists; `bytes` are the files' sizes. `changed_while_read`: paths that never held
    still.
    """

    sources: list[str]
    files: int
    directories: int
    symlinks: int
    bytes: int
    changed_while_read: list[str]
    by_source: dict[str, SourceContent] = {}


class Manifest(Part):
    """One backup. Times are UTC; `durations` are seconds per phase; `signed_by` is the fingerprint of the
    signing key's public half.
    """

    name: str
    instance: str
    generation: int
    sequence: int
    previous: str | None
    kind: Literal["scheduled", "manual"]
    label: str | None
    started_at: AwareDatetime
    snapshot_at: AwareDatetime
    finished_at: AwareDatetime
    host: str
    program_version: str
    signed_by: str | None = None
    stack: Stack
    database: DatabaseContent
    app_data: AppDataContent
    attachments_missing: list[str]
    objects: list[ObjectEntry]
    warnings: list[str]
    durations: dict[str, float]

    @property
    def order(self) -> tuple[int, int]:
        """What "newest" means: never a time, never a name."""
        return self.generation, self.sequence

    @property
    def manifest_name(self) -> str:
        """The name of the object that holds this manifest."""
        return self.name + SUFFIX

    @property
    def stored_bytes(self) -> int:
        """Size of all objects of this backup in a store, without the manifest."""
        return sum(entry.stored_size for entry in self.objects)

    def only(self, kind: ObjectKind) -> ObjectEntry:
        """The one object of a kind of which every backup has exactly one."""
        found = [entry for entry in self.objects if entry.kind == kind]
        if len(found) != 1:
            raise ManifestError(f"{self.name} lists {len(found)} objects of kind {kind}, expected one.")
        return found[0]

    def packs(self) -> dict[str, ObjectEntry]:
        """The packs by their names."""
        return {entry.name: entry for entry in self.objects if entry.kind == "pack"}


def backup_name(started_at: datetime) -> str:
    """`loomio_backup_20261123_020000`; `started_at` must be UTC."""
    return f"{PREFIX}{started_at:%Y%m%d_%H%M%S}"


def is_manifest(object_name: str) -> bool:
    """Whether an object in a store is a manifest, by its name."""
    return object_name.startswith(PREFIX) and object_name.endswith(SUFFIX)


def payload_of(manifest: Manifest) -> str:
    """The JSON text that is signed."""
    return manifest.model_dump_json()


def seal(manifest: Manifest, signing_key: str, recipients: Sequence[str], destination: Path) -> Digests:
    """Sign and encrypt a manifest into the new file `destination`."""
    payload = payload_of(manifest)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "payload": payload,
        "signature": crypto.sign(signing_key, payload.encode()),
    }
    return write_sealed(json.dumps(document).encode(), destination, recipients)


def require_size(name: str, size: int) -> None:
    """Refuse what is too large to be a manifest before it is fetched. Raises ManifestError."""
    if size > MOST_BYTES:
        raise ManifestError(f"{name} has {size} bytes: no manifest is that large. Use another backup.")


def unseal(
    path: Path, identities: Sequence[Identity], signing_public_key: str, *old_public_keys: str
) -> Manifest:
    """Decrypt, verify (with the signing key in use, or one that was used before) and read a manifest.

    Raises WrongKey or DamagedObject (encryption), SignatureError, ManifestError (not a manifest, or one of a
    version that this program does not know).
    """
    with read_object(path, identities, compressed=False) as source:
        data = source.read()
    try:
        document = json.loads(data)
        kind, version = document["format"], document["version"]
        payload, signature = str(document["payload"]), str(document["signature"])
    except (ValueError, KeyError, TypeError):
        raise ManifestError(f"{path.name} is not a manifest. Use another backup.") from None
    if kind != FORMAT or version != VERSION:
        raise ManifestError(
            f"{path.name} is a manifest of version {version!r}, this program knows version {VERSION}. "
            "Use the program's version that wrote it, or a newer one."
        )
    crypto.verify_any((signing_public_key, *old_public_keys), payload.encode(), signature)
    return parse(payload, path.name)


def parse(payload: str, name: str) -> Manifest:
    """Read the JSON of a manifest whose signature has been verified."""
    try:
        return Manifest.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ManifestError(f"{name} contradicts the format at {where}: {first['msg']}.") from error
