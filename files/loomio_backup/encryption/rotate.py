"""`loomio-backup rotate-key`: after a new key was put into the secrets file, everything old stays openable.

The keyring (all earlier identities, for the present one) goes into every store; when it proved to be there,
the keyrings that it replaces go. Each step looks at what the store holds, so an interrupted rotation is
simply run again; `run` does the same when it finds something to do.
"""

import tempfile
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from loomio_backup.access import open_stores
from loomio_backup.backup.sending import Sender
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.catalogue.objects import as_it_is
from loomio_backup.config import Config
from loomio_backup.credentials import KEYRING, Credentials
from loomio_backup.encryption import crypto, keyring
from loomio_backup.encryption.keys import Keys, needed
from loomio_backup.errors import (
    AgentError,
    CryptoError,
    KeyringError,
    StoreDamaged,
    StoreError,
    StoreNotFound,
)
from loomio_backup.progress import bytes_text, say
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store, StoredObject


def run(config: Config, credentials: Credentials, repack: bool) -> int:
    """The verb. A store that fails is told at the end, after the others were done."""
    state = StateDirectory(config.state_directory)
    with state.locked("rotate-key"), Catalogue(state.catalogue) as catalogue:
        number = catalogue.begin_run("rotate-key")
        try:
            _rotate(config, credentials, state, catalogue, repack)
        except BaseException as error:
            catalogue.end_run(number, "failed", None, str(error) or type(error).__name__)
            raise
        catalogue.end_run(number, "complete", None, None)
    return 0


def _rotate(
    config: Config, credentials: Credentials, state: StateDirectory, catalogue: Catalogue, repack: bool
) -> None:
    reader = Reader(config, credentials, state, catalogue)
    ring = Ring.of(config, credentials, reader.keys)
    problems: list[str] = []
    unknown: list[str] = []
    backups: dict[str, Manifest] = {}
    for kind, store in open_stores(config, credentials).items():
        try:
            history = reader.read(store)
            ring.settle(store, history, Sender(config, catalogue), catalogue)
        except StoreError as error:
            problems.append(f"{kind}: {error}")
            unknown.append(kind)
            continue
        unknown += [*history.foreign, *history.missing, *(name for name, _ in history.damaged)]
        backups |= {summary.name: catalogue.load(summary) for summary in history.backups}
        objects = [entry for summary in history.backups for entry in backups[summary.name].objects]
        reader.keys.learn_for(objects, [(store, history.objects)])
    for line in report(list(backups.values()), config.recipients, reader.keys, not unknown):
        say(line)
    for problem in reader.keys.problems:
        say(problem)
    if repack:
        _forget_old_packs(catalogue, config.recipients)
    if problems:
        raise AgentError(
            f"the keys are not yet in order everywhere. Nothing was lost: no keyring is removed before the "
            f"one that replaces it proved to open. {' '.join(problems)} When that is mended, type: "
            "loomio-backup rotate-key"
        )


def settle_where_due(
    config: Config,
    credentials: Credentials,
    keys: Keys,
    histories: Mapping[str, tuple[Store, History]],
    sender: Sender,
    catalogue: Catalogue,
) -> dict[str, str]:
    """Bring the keyrings of these stores up to date where there is something to do. Returns what failed, as a
    sentence for each store.
    """
    try:
        ring = Ring.of(config, credentials, keys)
    except KeyringError as error:
        return {"keyring": str(error)}
    failed: dict[str, str] = {}
    for kind, (store, history) in histories.items():
        try:
            if ring.is_due(store, history):
                ring.settle(store, history, sender, catalogue)
        except StoreError as error:
            failed[kind] = str(error)
    return failed


class Ring:
    """This Pi's keyring: `data` is None when the key was never changed."""

    def __init__(self, data: bytes | None, keys: Keys, recipients: Sequence[str]) -> None:
        self._data = data
        self._keys = keys
        self._present = crypto.fingerprint(recipients[0])
        self.name = None if data is None else keyring.object_name(data)
        self._held: set[str] = set()
        if keys.newest is not None:
            self._held.add(_fingerprint(keys.newest))
            if data is not None:
                self._held |= {_fingerprint(text) for text in _opened(data, keys.newest)}

    @classmethod
    def of(cls, config: Config, credentials: Credentials, keys: Keys) -> "Ring":
        """The keyring among the credentials. Raises KeyringError when it, the identity and the configuration
        do not belong together.
        """
        if keys.newest is not None and crypto.recipient_of(keys.newest) not in config.recipients:
            raise KeyringError(
                f"the identity on this Pi ({_fingerprint(keys.newest)}) is not one that its backups are "
                "encrypted for. No keyring was changed. Run the setup deploy again: it brings both together."
            )
        text = credentials.optional(KEYRING)
        return cls(None if text is None else keyring.as_stored(text), keys, config.recipients)

    def is_due(self, store: Store, history: History) -> bool:
        """Whether a store lacks the keyring, or has others that can perhaps go."""
        others = any(keyring.is_keyring(name) and name != self.name for name in history.objects)
        lacks = self.name is not None and self.name not in history.objects
        return lacks or (others and self._keys.newest is not None and not store.append_only)

    def settle(self, store: Store, history: History, sender: Sender, catalogue: Catalogue) -> None:
        """Bring the keyrings of a store up to date. Raises StoreError; it can be repeated."""
        if self._data is not None and self.name is not None:
            self._keep(self._data, self.name, store, history, sender)
        # What is larger than any keyring is none, whatever it is called: it is not opened, and stays.
        others = [
            name
            for name, stored in history.objects.items()
            if keyring.is_keyring(name) and name != self.name and stored.size <= keyring.MOST_BYTES
        ]
        if not others:
            return
        if self._keys.newest is None or store.append_only:
            why = "does not delete there" if store.append_only else "holds no identity to open them"
            say(f"{store.kind}: {', '.join(others)} stay: this Pi {why}")
            return
        self._keys.learn(store, history.objects)
        found = {name: self._content(store, history.objects[name]) for name in others}
        for name in replaced(found, self._held, self._wanted(history, catalogue)):
            store.delete(history.objects[name])
            catalogue.forget_stored(store.kind, name)
            others.remove(name)
            say(f"{store.kind}: {name} is removed: nothing needs it any more")
        if others:
            say(f"{store.kind}: {', '.join(others)} stay: they may hold a key that nothing else holds")

    def _keep(self, data: bytes, name: str, store: Store, history: History, sender: Sender) -> None:
        """Have the keyring in a store, and read it back."""
        stored = history.objects.get(name)
        if stored is not None and not _holds(store, stored, data):
            say(f"{store.kind}: {name} is damaged, and put there anew")
            store.delete(stored)
            stored = None
        if stored is None:
            with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
                path = Path(directory) / name
                path.write_bytes(data)
                stored = sender.send(store, name, path, as_it_is(path))
            if not _holds(store, stored, data):
                raise StoreDamaged(
                    f"{name} came back from {store.kind} as something else. The old keyrings were left as "
                    "they are. Type again: loomio-backup rotate-key"
                )
        opened = f" and opens with {self._present}" if self._keys.newest else ""
        say(f"{store.kind}: {name} is there, was read back{opened}")

    def _wanted(self, history: History, catalogue: Catalogue) -> set[str] | None:
        if history.foreign or history.damaged or history.missing:
            return None
        return set(needed((catalogue.load(summary) for summary in history.backups), self._present))

    def _content(self, store: Store, stored: StoredObject) -> set[str] | None:
        """The fingerprints of what a keyring in a store holds; None when no key of ours opens it."""
        try:
            texts = keyring.opened(_read(store, stored), self._keys.texts, stored.name)
            return {_fingerprint(text) for text in texts}
        except (CryptoError, StoreDamaged, StoreNotFound):
            # What does not open, for whatever reason, is not ours to judge: it stays. (Or a list still shows
            # it, and it is gone.)
            return None


def replaced(found: Mapping[str, Set[str] | None], held: Set[str], wanted: Set[str] | None) -> list[str]:
    """The keyrings that can go: everything in them is held by the present one, or needed by no backup.

    `found`: what each other keyring holds, None when that is not known. `wanted`: the keys that the backups
    of the store need, None when that is not certain.
    """
    return [
        name
        for name, content in found.items()
        if content is not None
        and (not content - held or (wanted is not None and wanted.isdisjoint(content - held)))
    ]


def report(backups: Sequence[Manifest], recipients: Sequence[str], keys: Keys, all_known: bool) -> list[str]:
    """What to know about the keys that were in use before the present one (the first of `recipients`).
    `all_known`: these are all backups of all stores.
    """
    present = crypto.fingerprint(recipients[0])
    wanted = needed(backups, present)
    lines = []
    for old in (_fingerprint(text) for text in keys.texts):
        if old in wanted:
            last = max(wanted[old])
            lines.append(f"key {old}: {len(wanted[old])} backups still need it, the last of them is {last}")
        elif old != present and all_known:
            lines.append(f"key {old}: nothing needs it any more; it can be dropped from the secrets file")
    held = keys.fingerprints
    closed = [
        backup.name
        for backup in backups
        if any(entry.key_fingerprints and held.isdisjoint(entry.key_fingerprints) for entry in backup.objects)
    ]
    if closed and keys.newest is not None:
        lines.append(f"{len(closed)} backups stay closed with the keys on this Pi, the last is {max(closed)}")
    return lines


def _forget_old_packs(catalogue: Catalogue, recipients: Sequence[str]) -> None:
    present = {crypto.fingerprint(one) for one in recipients}
    old = [entry for entry in catalogue.entries("pack") if set(entry.key_fingerprints) != present]
    with catalogue.transaction():
        for entry in old:
            catalogue.forget_content(entry.name)
    size = bytes_text(sum(entry.stored_size for entry in old))
    say(f"{len(old)} packs ({size}) are not used again: their files travel with the next backup")


def _opened(data: bytes, identity: str) -> list[str]:
    try:
        return keyring.opened(data, [identity], KEYRING)
    except CryptoError as error:
        raise KeyringError(
            f"the keyring on this Pi does not open with its identity ({_fingerprint(identity)}). No keyring "
            f"in a store was changed. Run the setup deploy again: it brings both together. {error}"
        ) from None


def _read(store: Store, stored: StoredObject) -> bytes:
    with tempfile.TemporaryDirectory(prefix="loomio-backup-") as directory:
        path = Path(directory) / stored.name
        store.get(stored, path)
        return path.read_bytes()


def _holds(store: Store, stored: StoredObject, data: bytes) -> bool:
    """Whether a store gives back exactly this keyring."""
    try:
        return _read(store, stored) == data
    except (StoreDamaged, StoreNotFound):
        return False


def _fingerprint(identity: str) -> str:
    return crypto.fingerprint(crypto.recipient_of(identity))
