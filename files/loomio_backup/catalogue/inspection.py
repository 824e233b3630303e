"""Every object that backups need, looked at once: is it there, and is it what the manifests say?

Without tools a store's own word counts (sizes, and hashes where it keeps some). With them every byte is read:
from a folder in place, else fetched; and what a key of this Pi opens is opened, too, so that its content is
compared with what went in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from loomio_backup import room
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History
from loomio_backup.catalogue.inspection_beside import Beside, Damage, Tools
from loomio_backup.catalogue.manifest import SUFFIX, Manifest, ObjectEntry
from loomio_backup.catalogue.objects import Digests, digests_of, hash_file, legacy_digests_of
from loomio_backup.errors import CheckError, CryptoError, StoreDamaged, StoreNotFound
from loomio_backup.progress import Ticker, bytes_text
from loomio_backup.stores import Store

__all__ = ["Damage", "Findings", "Inspection", "Tools"]


@dataclass
class Findings:
    """What an inspection looked at: numbers of backups and objects, bytes that were read, how many objects
    were opened.
    """

    backups: int = 0
    objects: int = 0
    bytes_read: int = 0
    opened: int = 0
    damaged: list[Damage] = field(default_factory=list)

    @property
    def harmed(self) -> set[str]:
        """The backups that need something damaged."""
        return {name for damage in self.damaged for name in damage.needed_by}


class Inspection:
    """Inspects one store. `quiet`: without a sign of progress."""

    def __init__(self, store: Store, history: History, catalogue: Catalogue, quiet: bool) -> None:
        self._store = store
        self._history = history
        self._catalogue = catalogue
        self._quiet = quiet
        self._needed: dict[str, tuple[ObjectEntry, list[str]]] = {}
        self.findings = Findings()

    def inspect(self, manifests: Iterable[Manifest], tools: Tools | None) -> Findings:
        """Look at every object of these backups; with `tools`, read them. Raises StoreError."""
        for manifest in manifests:
            self.findings.backups += 1
            for entry in manifest.objects:
                self._needed.setdefault(entry.name, (entry, []))[1].append(manifest.name)
        if tools is not None:
            entries = [entry for entry, _ in self._needed.values()]
            tools.keys.learn_for(entries, [(self._store, self._history.objects)])
        total = sum(entry.stored_size for entry, _ in self._needed.values())
        ticker = Ticker(self._store.kind)
        for entry, backups in self._needed.values():
            self._look(entry, backups, tools)
            self.findings.objects += 1
            if tools is not None and not self._quiet:
                done = f"{self.findings.objects} of {len(self._needed)} objects"
                read = self.findings.bytes_read
                ticker.tick(f"{done}, {bytes_text(read)} of {bytes_text(total)} read", read / max(1, total))
        if tools is not None:
            beside = Beside(self._store, self._history, self._catalogue, tools)
            self.findings.damaged += beside.damages()
        return self.findings

    def find_copies(self, others: Iterable[History]) -> None:
        """Note which other stores list what is damaged here as it should be."""
        for history in others:
            for damage in self.findings.damaged:
                needed, found = self._needed.get(damage.object), history.objects.get(damage.object)
                if needed is not None and found is not None and found.matches(needed[0].digests):
                    damage.whole_in.append(history.store)

    def _look(self, entry: ObjectEntry, backups: list[str], tools: Tools | None) -> None:
        problem = self._problem(entry)
        if problem is None and tools is not None:
            problem = self._problem_inside(entry, tools)
            if problem is None:
                self._believe(entry)
        if problem is None:
            return
        # Removed by a prune meanwhile? Then nothing needs it any more.
        backups = [name for name in backups if self._is_there(name)]
        if not backups:
            return
        self._distrust(entry.name)
        self.findings.damaged.append(Damage(entry.name, problem, backups))

    def _problem(self, entry: ObjectEntry) -> str | None:
        # A fresh object may be missing from a list for a while; asking for it by name finds it.
        stored = self._history.objects.get(entry.name) or self._store.stat(entry.name)
        if stored is None:
            return "it is missing"
        if stored.size != entry.stored_size:
            return f"it has {stored.size} bytes instead of {entry.stored_size}"
        return None if stored.matches(entry.digests) else "its hash in the store is another one"

    def _problem_inside(self, entry: ObjectEntry, tools: Tools) -> str | None:
        path = self._store.source_path(entry.name)
        try:
            if path is not None:
                return self._problem_of(path, entry, tools)
            fetched = tools.directory / entry.name
            if not room.fits_spool(tools.directory, entry.stored_size):
                raise CheckError(
                    f"the disk of {tools.directory} has no room to look at {entry.name} "
                    f"({bytes_text(entry.stored_size)}), so not everything was read. No backup was changed. "
                    "Make room there, then run the same again."
                )
            try:
                self._store.get(entry.name, fetched)
                return self._problem_of(fetched, entry, tools)
            finally:
                fetched.unlink(missing_ok=True)
        except (StoreDamaged, StoreNotFound, CryptoError) as error:
            return str(error)
        except OSError as error:
            return f"it cannot be read ({error.strerror})"

    def _problem_of(self, path: Path, entry: ObjectEntry, tools: Tools) -> str | None:
        self.findings.bytes_read += entry.stored_size
        content = None
        if entry.kind == "legacy" and tools.legacy is not None:
            content = legacy_digests_of(path, tools.legacy)
        elif entry.kind != "legacy" and tools.keys.opens(entry):
            content = digests_of(path, tools.keys.identities)
        if content is not None:
            self.findings.opened += 1
            return None if content == entry.digests else "it holds something else than what was put there"
        size, sha256, md5 = hash_file(path)
        stored = Digests(entry.plain_size, entry.plain_sha256, size, sha256, md5)
        return None if stored == entry.digests else "its bytes are not those that were put there"

    def _believe(self, entry: ObjectEntry) -> None:
        """What was damaged once was mended, or is read well now."""
        kind = self._store.kind
        if entry.name in self._catalogue.damaged_in(kind) and entry.name in self._history.objects:
            self._catalogue.add_stored(kind, self._history.objects[entry.name])

    def _distrust(self, name: str) -> None:
        """Let no new backup rely on an object: what it holds travels again."""
        kind = self._store.kind
        if kind not in self._catalogue.holders(name) and name in self._history.objects:
            self._catalogue.add_stored(kind, self._history.objects[name])
        self._catalogue.mark_damaged(kind, name)

    def _is_there(self, backup: str) -> bool:
        listed = self._history.objects.get(backup + SUFFIX)
        return self._store.stat(backup + SUFFIX, None if listed is None else listed.id) is not None
