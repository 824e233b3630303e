"""A folder as a browser leaves it behind, as a place that backups can be copied from.

Google Drive's page hands out zips (…-001.zip, -002 …), browsers write "NAME (1).age", people sort things into
folders. So no name counts: what is a manifest shows when it is opened with the key, and what all other
objects are is known by size and SHA-256, which the manifests have.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploys.console.pieces import Piece, heap
from deploys.console.pull_histories import Keys
from loomio_backup import clock
from loomio_backup.catalogue.manifest import FORMAT, MOST_BYTES, Manifest, unseal
from loomio_backup.catalogue.objects import hash_file, read_object
from loomio_backup.encryption import age, crypto
from loomio_backup.errors import AgentError, DamagedObject, StoreDamaged, StoreNotFound, WrongKey
from loomio_backup.progress import Ticker, bytes_text
from loomio_backup.retention import pins
from loomio_backup.stores.base import Progress, StoredObject
from loomio_backup.streams import BlockReader

_AGE = b"age-encryption.org/v1\n"
#: How manifests and pins begin under their encryption: as the agent writes them, with json.dumps.
_MANIFEST = f'{{"format": "{FORMAT}"'.encode()
_PIN = f'{{"format": "{pins.FORMAT}"'.encode()


class Downloads:
    """What lies at `place`, once `look` has found out what is what: a `Source` of `loomio-pi pull`.

    `scratch`: a private folder, for one small file at a time. `problems`: sentences about what could not be
    looked into; `locked`: how many encrypted files no key of ours opens.
    """

    def __init__(self, place: Path, scratch: Path, keys: Keys) -> None:
        self._place, self._scratch, self._keys = place, scratch, keys
        self._found: dict[str, tuple[StoredObject, Piece]] = {}
        self.manifests: dict[str, Manifest] = {}
        self.problems: list[str] = []
        self.locked = 0

    def look(self) -> None:
        """Find the manifests, and then what they need. Raises SettingsError where there is nothing at all."""
        everything = heap(self._place)
        self.problems += everything.problems
        ticker, count = Ticker("looking"), len(everything.pieces)
        for number, piece in enumerate(everything.pieces, start=1):
            ticker.tick(f"{number} of {count} files", number / count)
            try:
                self._try(piece)
            except (AgentError, ValueError, KeyError, TypeError) as error:
                self.problems.append(f"{piece.name} cannot be used: {error}")
        self._find_objects(everything.pieces)

    def list(self) -> Iterator[StoredObject]:
        """See Source.list: by the names that the objects have in every store."""
        return iter([stored for stored, _ in self._found.values()])

    def get(
        self, stored: StoredObject, destination: Path, progress: Progress | None = None, /
    ) -> StoredObject:
        """See Source.get."""
        if stored.name not in self._found:
            raise StoreNotFound(f"there is no {stored.name} in {self._place}.")
        for done in self._found[stored.name][1].copy_to(destination):
            if progress:
                progress(done)
        return stored

    def _try(self, piece: Piece) -> None:
        """Keep a piece that is a manifest or a pin. Raises what speaks against one that looks like it."""
        if piece.size > MOST_BYTES:
            return
        head = self._head(piece)
        if not head.startswith((_MANIFEST, _PIN)):
            return
        path = self._scratch / "piece.age"
        try:
            for _ in piece.copy_to(path):
                pass
            if head.startswith(_MANIFEST):
                manifest = unseal(path, self._keys.identities, *self._keys.public_keys)
                self._keys.unsealed(path, manifest.manifest_name)
                self.manifests.setdefault(manifest.name, manifest)
                self._keep(manifest.manifest_name, piece, hash_file(path)[1])
            elif piece.size <= pins.MOST_BYTES:
                self._keep(pins.pin_name(self._pinned(path)), piece, hash_file(path)[1])
        finally:
            path.unlink(missing_ok=True)

    def _head(self, piece: Piece) -> bytes:
        """The first bytes under the encryption; b"" for what is not encrypted for us."""
        blocks = piece.blocks()
        try:
            first = next(blocks, b"")
            if not first.startswith(_AGE):
                return b""
            sink = _Head()
            try:
                age.decrypt(BlockReader(_again(first, blocks)), sink, self._keys.identities, piece.name)
            except _Enough:
                pass
            except WrongKey:
                self.locked += 1
            return sink.data
        except (DamagedObject, StoreDamaged) as error:
            self.problems.append(str(error))
            return b""
        finally:
            blocks.close()  # type: ignore[attr-defined]

    def _pinned(self, path: Path) -> str:
        """The backup that a pin is for."""
        with read_object(path, self._keys.identities, compressed=False) as source:
            document = json.loads(source.read())
        payload = str(document["payload"])
        crypto.verify_any(self._keys.public_keys, payload.encode(), str(document["signature"]))
        return pins.Pin.model_validate_json(payload).backup

    def _find_objects(self, pieces: Sequence[Piece]) -> None:
        entries = [entry for manifest in self.manifests.values() for entry in manifest.objects]
        names = {(entry.stored_size, entry.stored_sha256): entry.name for entry in entries}
        sizes = {size for size, _ in names}
        likely = [piece for piece in pieces if piece.size in sizes]
        ticker, done, total = Ticker("comparing"), 0, max(1, sum(piece.size for piece in likely))
        for piece in likely:
            digest = hashlib.sha256()
            try:
                for block in piece.blocks():
                    digest.update(block)
                    done += len(block)
                    ticker.tick(f"{bytes_text(done)} of {bytes_text(total)}", done / total)
            except StoreDamaged as error:
                self.problems.append(str(error))
                continue
            if (name := names.get((piece.size, digest.hexdigest()))) is not None:
                self._keep(name, piece, digest.hexdigest())

    def _keep(self, name: str, piece: Piece, sha256: str) -> None:
        stored = StoredObject(name, piece.size, None, sha256, None, clock.now())
        self._found.setdefault(name, (stored, piece))


class _Enough(Exception):  # noqa: N818 - no error
    """The beginning is known."""


class _Head:
    """Takes the beginning of a content, and no more."""

    data = b""

    def write(self, data: bytes) -> int:
        self.data += data[: 256 - len(self.data)]
        if len(self.data) >= 256:
            raise _Enough
        return len(data)


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
