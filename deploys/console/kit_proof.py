"""What the typed key really opens: the newest backup of a store, found and believed with the kit alone."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploys.console.pull_histories import Keys as Believed
from loomio_backup.catalogue.manifest import SUFFIX, Manifest, ObjectEntry, is_manifest, require_size
from loomio_backup.catalogue.objects import digests_of
from loomio_backup.encryption import crypto
from loomio_backup.encryption.keys import Keys
from loomio_backup.errors import (
    CheckError,
    CryptoError,
    DamagedObject,
    ManifestError,
    SignatureError,
    StoreDamaged,
    StoreNotFound,
    WrongKey,
)
from loomio_backup.progress import say
from loomio_backup.stores.base import Store, StoredObject

_DAMAGE = (DamagedObject, ManifestError, StoreDamaged, StoreNotFound)


@dataclass
class Survey:
    """What a store holds, as the typed key sees it. `backups`: newest first. The others by object name:
    `closed` do not open, `unsigned` open and are not signed as the kit says, `damaged` with the reason.
    """

    backups: list[Manifest] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)

    def may_be_newer(self, names: Sequence[str]) -> list[str]:
        """Those of these manifests that may be newer than the newest that was read: by their names, which is
        all that can be known of them.
        """
        newest = self.backups[0].manifest_name if self.backups else ""
        return sorted(name for name in names if name > newest)


class Archive:
    """A store, with the keys that were typed. Use it as a context manager: what is fetched lies encrypted in
    a directory of its own, and is gone afterwards.
    """

    def __init__(self, store: Store, identities: Sequence[str], signing_public_key: str) -> None:
        self.keys = Keys("\n".join(identities))
        self._store, self._public_key = store, signing_public_key
        self._directory = tempfile.TemporaryDirectory(prefix="loomio-pi-")
        self._objects: dict[str, list[StoredObject]] = {}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def survey(self) -> Survey:
        """Read every manifest: the newest is the one with the highest generation and sequence, never by its
        name. Raises StoreError, also when the store holds no backup at all.
        """
        for stored in self._store.list():
            self._objects.setdefault(stored.name, []).append(stored)
        # The key may be younger than the newest backup: what opened it before is in the keyrings.
        self.keys.learn(self._store, {name: found[0] for name, found in self._objects.items()})
        names = sorted(filter(is_manifest, self._objects))
        if not names:
            raise StoreNotFound(
                "There is no backup at all. Nothing was changed. Is it the right place: the Google account "
                "that the backups are in, the folder that the kit names?"
            )
        say(f"reading the lists of what the backups consist of ({len(names)})")
        found = Survey()
        for name in names:
            self._judge(name, found)
        found.backups.sort(key=lambda manifest: manifest.order, reverse=True)
        return found

    def _judge(self, name: str, found: Survey) -> None:
        problems: list[Exception] = []
        believed = Believed(self.keys.identities, [self._public_key])
        for path in self._copies(name, problems):
            try:
                found.backups.append(believed.unsealed(path, name))
                return
            except (WrongKey, SignatureError, *_DAMAGE) as error:
                problems.append(error)
        if any(isinstance(error, SignatureError) for error in problems):
            found.unsigned.append(name)
        elif any(isinstance(error, WrongKey) for error in problems):
            found.closed.append(name)
        else:
            found.damaged[name] = str(problems[0])

    def _copies(self, name: str, problems: list[Exception]) -> Iterator[Path]:
        """Each object of this name, fetched to the same place. Drive may hold several."""
        path = Path(self._directory.name) / name
        for stored in self._objects.get(name, []):
            path.unlink(missing_ok=True)
            try:
                if is_manifest(name):
                    require_size(name, stored.size)
                self._store.get(stored, path)
            except _DAMAGE as error:
                problems.append(error)
                continue
            yield path

    def fetched(self, entry: ObjectEntry) -> Path:
        """The object that a manifest lists, fetched, opened and compared: a file that lasts as long as this.
        Raises CheckError with the reason when there is no good one.
        """
        problems: list[Exception] = []
        for path in self._copies(entry.name, problems):
            try:
                found = digests_of(path, self.keys.identities)
            except CryptoError as error:
                problems.append(error)
                continue
            if found == entry.digests:
                return path
            problems.append(DamagedObject(f"{entry.name} is not what the manifest says."))
        raise CheckError(str(problems[0]) if problems else f"{entry.name} is not there.")

    def prove(self, manifest: Manifest) -> list[str]:
        """Open one object for each key that the backup needs, and its settings in any case; returns what was
        opened. Raises CheckError, one sentence.
        """
        proven: list[str] = []
        for entry in _one_for_each_key(manifest):
            if not self.keys.opens(entry):
                raise CheckError(
                    f"{entry.name}, which {manifest.name} needs, was made for the keys "
                    f"{', '.join(entry.key_fingerprints)}, and what was typed opens only "
                    f"{', '.join(sorted(self.keys.fingerprints))}. Nothing was changed. After a change of "
                    "the key type on the Pi: sudo loomio-backup rotate-key; for a second person's key: sudo "
                    "loomio-backup rotate-key --repack, and make a backup."
                )
            say(f"opening {entry.name}")
            try:
                self.fetched(entry).unlink()
            except CheckError as error:
                raise CheckError(
                    f"{manifest.name} cannot be trusted: {error} The key is not to blame. Nothing was "
                    "changed. To look at all backups, type on the Pi: sudo loomio-backup check --read-data"
                ) from None
            proven.append(entry.name)
        return proven


def require_newest(survey: Survey, identities: Sequence[str]) -> Manifest:
    """The newest backup, when the kit opens it. Raises CheckError, one sentence that names what does not
    fit.
    """
    typed = ", ".join(crypto.fingerprint(crypto.recipient_of(one)) for one in identities)
    if newer := survey.may_be_newer(survey.unsigned):
        raise CheckError(
            f"The key opens {_newest(newer)}, but that backup is not signed with the signing key in the S "
            "lines: the signing key was changed since the kit was printed, or somebody else made it. "
            "Nothing was changed. Print a new kit with: loomio-pi kit; right after a change, make a backup "
            "first with: loomio-pi deploy backup"
        )
    if newer := survey.may_be_newer(survey.closed):
        raise CheckError(
            f"The key (K lines), whose fingerprint is {typed}, does not open {_newest(newer)}: the key was "
            "changed since the kit was printed, or it is another Loomio's kit. Nothing was changed. Print a "
            "new kit with: loomio-pi kit"
        )
    if newer := survey.may_be_newer(list(survey.damaged)):
        raise CheckError(
            f"{_newest(newer)} cannot be read, so the kit could not be tried on the newest backup: "
            f"{survey.damaged[newer[-1]]} Nothing was changed. Make a new backup, and look at all of them: "
            "sudo loomio-backup check"
        )
    return survey.backups[0]


def _newest(names: Sequence[str]) -> str:
    return names[-1].removesuffix(SUFFIX)


def _one_for_each_key(manifest: Manifest) -> list[ObjectEntry]:
    """The config object, and the smallest object for every other set of keys."""
    chosen = {tuple(sorted(manifest.only("config").key_fingerprints)): manifest.only("config")}
    for entry in sorted(manifest.objects, key=lambda entry: entry.stored_size):
        # What is in the older scripts' format opens with a passphrase.
        if entry.kind != "legacy":
            chosen.setdefault(tuple(sorted(entry.key_fingerprints)), entry)
    return list(chosen.values())
