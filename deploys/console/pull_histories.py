"""Which backups the copy and the source hold, and whether anything about them smells of a visitor.

Somebody who takes over the Pi or the Google account can delete, replace and add there as he likes. So nothing
counts that the Pi's signing key has not signed; and what is here already counts more than what comes later,
because with the Pi its signing key may have been taken, too.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from loomio_backup.catalogue.manifest import SUFFIX, Manifest, ObjectEntry, is_manifest, require_size, unseal
from loomio_backup.catalogue.objects import hash_file
from loomio_backup.encryption.crypto import Identity
from loomio_backup.errors import (
    DamagedObject,
    ManifestError,
    SignatureError,
    StoreDamaged,
    StoreError,
    StoreNotFound,
    WrongKey,
)
from loomio_backup.stores.base import Progress, StoredObject, check_name
from loomio_backup.stores.local import LocalFolder

_UNBELIEVABLE = (WrongKey, DamagedObject, SignatureError, ManifestError, StoreDamaged)

Listing = dict[str, list[StoredObject]]
"""The objects of a source by name; Drive may hold several of one name."""


class Source(Protocol):
    """Where the copy is made from: a Drive folder, or a folder of the Pi."""

    def list(self) -> Iterator[StoredObject]:
        """Every object; see Store.list."""

    def get(
        self, stored: StoredObject, destination: Path, progress: Progress | None = None, /
    ) -> StoredObject:
        """Fetch one; see Store.get."""


@dataclass(frozen=True)
class Keys:
    """What opens manifests, and what they are signed with."""

    identities: Sequence[Identity]
    public_keys: Sequence[str]

    def unsealed(self, path: Path, name: str) -> Manifest:
        """The manifest in a file that was found as `name`. Raises one of `_UNBELIEVABLE`."""
        manifest = unseal(path, self.identities, *self.public_keys)
        if manifest.manifest_name != name:
            raise ManifestError(f"{name} holds the manifest of another backup, {manifest.name}.")
        try:
            for entry in manifest.objects:
                check_name(entry.name)
        except StoreError as error:
            raise ManifestError(f"{name} lists an object that cannot be: {error}") from None
        return manifest


@dataclass
class Histories:
    """What was found. `here` and `theirs`: backups by name; `entries`: what each object must be; `new`: the
    backups that are to be fetched (their manifests lie in `incoming`); `damaged`: manifests here, and what is
    wrong with them; `problems`: sentences for somebody to read.
    """

    here: dict[str, Manifest] = field(default_factory=dict)
    theirs: dict[str, Manifest] = field(default_factory=dict)
    new: list[Manifest] = field(default_factory=list)
    entries: dict[str, ObjectEntry] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def newest_first(self) -> list[Manifest]:
        """The backups that belong into the copy."""
        return sorted([*self.here.values(), *self.new], key=by_order, reverse=True)


def by_order(manifest: Manifest) -> tuple[int, int]:
    """For sorting: what "newest" means."""
    return manifest.order


def listed(source: Source) -> Listing:
    """What the source holds, without what cannot be an object of ours by its name."""
    found: Listing = {}
    for stored in source.list():
        with contextlib.suppress(StoreError):
            check_name(stored.name)
            found.setdefault(stored.name, []).append(stored)
    return found


def read(
    source: Source, there: Listing, copy: LocalFolder, directory: Path, incoming: Path, keys: Keys
) -> Histories:
    """Read every manifest of the copy (the folder `directory`), and of the source those that differ. Raises
    StoreError when the source cannot be reached.
    """
    histories = Histories()
    for stored in copy.list():
        if is_manifest(stored.name):
            try:
                manifest = keys.unsealed(directory / stored.name, stored.name)
            except _UNBELIEVABLE as error:
                histories.damaged[stored.name] = str(error)
                continue
            histories.here[manifest.name] = manifest
            histories.entries |= {entry.name: entry for entry in manifest.objects}
    for name in sorted(filter(is_manifest, there)):
        known = histories.here.get(name.removesuffix(SUFFIX))
        if known is not None and any(_same(directory / name, stored) for stored in there[name]):
            histories.theirs[known.name] = known
            continue
        try:
            manifest = _fetched(source, there[name], incoming, keys)
        except _UNBELIEVABLE as error:
            histories.problems.append(f"{name} at the source cannot be believed: {error}")
            continue
        except StoreNotFound:
            continue  # removed since it was listed
        if known is not None:
            histories.problems.append(
                f"{name} at the source is another one than was fetched before, which stays here. The program "
                "never replaces a manifest: somebody else did."
            )
            continue
        histories.theirs[manifest.name] = manifest
    _compare(histories)
    # The older has the first word.
    for manifest in sorted(histories.theirs.values(), key=by_order):
        if manifest.name not in histories.here and _agrees(manifest, histories):
            histories.new.append(manifest)
    return histories


def _same(path: Path, stored: StoredObject) -> bool:
    size, sha256, md5 = hash_file(path)
    return stored.size == size and stored.md5 in (None, md5) and stored.sha256 in (None, sha256)


def _fetched(source: Source, found: list[StoredObject], incoming: Path, keys: Keys) -> Manifest:
    """The first good one of several of one name. Raises what is wrong with the first of them otherwise."""
    problems: list[Exception] = []
    for stored in found:
        path = incoming / stored.name
        try:
            require_size(stored.name, stored.size)
            source.get(stored, path)
            return keys.unsealed(path, stored.name)
        except _UNBELIEVABLE as error:
            problems.append(error)
    raise problems[0]


def _compare(histories: Histories) -> None:
    """Tell when the history at the source is shorter than it was, or is none at all."""
    here = histories.here
    if not here:
        if not histories.theirs:
            histories.problems.append(
                "there is no backup at the source that can be believed, and none here. Is it the right place "
                "(the account, backup.drive, backup.local), and has the Pi made a backup? On the Pi type: "
                "sudo loomio-backup status"
            )
        return
    ours = max(here.values(), key=by_order)
    newest = max(histories.theirs.values(), key=by_order, default=None)
    safe = f"This copy keeps its {len(here)} backups up to {ours.name}; nothing was removed from it."
    look = "Look at the Pi and at the Google account before you trust either again."
    if newest is None:
        histories.problems.append(
            f"the source holds no backup that can be believed, and before it did. {safe} Did somebody delete "
            f"them? {look}"
        )
    elif newest.name != ours.name and newest.order <= ours.order:
        histories.problems.append(
            f"the newest backup at the source is {newest.name}, and before it was {ours.name}: its history "
            f"was cut off. {safe} Did somebody delete backups, or bring an old card back? {look}"
        )


def _agrees(manifest: Manifest, histories: Histories) -> bool:
    """Whether a manifest says about each object what those before it say: objects never change."""
    for entry in manifest.objects:
        if histories.entries.get(entry.name, entry).digests != entry.digests:
            histories.problems.append(
                f"{manifest.manifest_name} at the source lists {entry.name} with another content than "
                "earlier backups do. It was not taken, and nothing here was changed. The program never "
                "changes an object: somebody has this Pi's signing key, and uses it."
            )
            return False
    histories.entries |= {entry.name: entry for entry in manifest.objects}
    return True
