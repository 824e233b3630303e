"""What no manifest describes: the manifests themselves, keyrings, pins, RECOVERY.md. Each is judged by what
it says itself, or by what this Pi remembers of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from loomio_backup.backup import recovery_md
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History
from loomio_backup.catalogue.manifest import MOST_BYTES, PIN_SUFFIX, SUFFIX
from loomio_backup.catalogue.objects import hash_file
from loomio_backup.encryption import keyring
from loomio_backup.encryption.keys import Keys
from loomio_backup.errors import StoreDamaged, StoreNotFound
from loomio_backup.retention import pins
from loomio_backup.stores import Store, StoredObject


@dataclass
class Damage:
    """An object that is missing or altered, the backups that need it, and the other stores that list it
    whole.
    """

    object: str
    problem: str
    needed_by: list[str]
    whole_in: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tools:
    """What reading takes: a directory for what has to be fetched, keys, the public keys that may have signed,
    the key of the older format, and this Pi's keyring (its name), which every store should hold.
    """

    directory: Path
    keys: Keys
    public_keys: tuple[str, ...]
    legacy: bytes | None
    keyring: str | None = None


class Beside:
    """Reads what lies beside the backups of one store."""

    def __init__(self, store: Store, history: History, catalogue: Catalogue, tools: Tools) -> None:
        self._store = store
        self._history = history
        self._catalogue = catalogue
        self._tools = tools

    def damages(self) -> Iterator[Damage]:
        """What cannot be believed. Raises StoreError."""
        yield from self._manifests()
        yield from self._keyrings_and_pins()
        page = self._history.objects.get(recovery_md.NAME)
        whole = page is not None and self._is(page, recovery_md.MOST_BYTES, self._is_our_page)
        if not whole and recovery_md.known(self._catalogue, self._store.kind):
            yield Damage(
                recovery_md.NAME,
                "it is missing, or not what this Pi wrote: do not type what it says. Every backup writes it "
                "anew",
                [],
            )

    def _manifests(self) -> Iterator[Damage]:
        """A folder's were read to know them at all; elsewhere the store's own word was enough until now."""
        for summary in self._history.backups:
            name = summary.name + SUFFIX
            if self._store.source_path(name) is None and not self._is(
                self._history.objects[name], MOST_BYTES, self._is_our_manifest
            ):
                yield Damage(name, "it is not what the store says it is", [summary.name])

    def _keyrings_and_pins(self) -> Iterator[Damage]:
        for name, stored in self._history.objects.items():
            if keyring.is_keyring(name):
                if not self._is(stored, keyring.MOST_BYTES, _names_itself):
                    yield Damage(name, "it is damaged; loomio-backup rotate-key puts it there anew", [])
            elif name.endswith(PIN_SUFFIX) and not self._is(stored, pins.MOST_BYTES, self._is_pin):
                backup = name.removesuffix(PIN_SUFFIX)
                yield Damage(
                    name,
                    "it is damaged, or somebody else put it there, so nobody knows who pinned the backup and "
                    f"why. It holds all the same; to pin it anew: loomio-backup unpin {backup} && "
                    f"loomio-backup pin {backup}",
                    [],
                )
        ring = self._tools.keyring
        if ring is not None and ring not in self._history.objects and self._store.stat(ring) is None:
            yield Damage(ring, "it is missing; loomio-backup rotate-key puts it there anew", [])

    def _is(self, stored: StoredObject, most_bytes: int, right: Callable[[Path], bool]) -> bool:
        """Whether an object is what it should be; what a list only still shows is no damage."""
        if stored.size > most_bytes:
            return False
        path = self._tools.directory / stored.name
        try:
            self._store.get(stored, path)
            return right(path)
        except StoreNotFound:
            return self._store.stat(stored.name, stored.id) is None
        except StoreDamaged:
            return False
        finally:
            path.unlink(missing_ok=True)

    def _is_pin(self, path: Path) -> bool:
        tools = self._tools
        if pins.believed(path, tools.keys, tools.public_keys) is not None:
            return True
        # Made before the key was changed, and by another Pi: the keyring opens it.
        learned = tools.keys.learn(self._store, self._history.objects)
        return learned and pins.believed(path, tools.keys, tools.public_keys) is not None

    def _is_our_manifest(self, path: Path) -> bool:
        return hash_file(path)[1] == self._catalogue.manifest_digest(path.name)

    def _is_our_page(self, path: Path) -> bool:
        return hash_file(path)[1] in recovery_md.known(self._catalogue, self._store.kind)


def _names_itself(path: Path) -> bool:
    return keyring.object_name(path.read_bytes()) == path.name
