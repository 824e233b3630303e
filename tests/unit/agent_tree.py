"""App-data without the rest of a backup: a directory, its scan, its packs, and what they really hold."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from loomio_backup.backup import incremental, packs
from loomio_backup.backup.appdata import ScanEntry, text_of
from loomio_backup.backup.incremental import Repacked, Reuse
from loomio_backup.backup.index import read_index, write_index
from loomio_backup.backup.scan import Scan
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import ObjectEntry
from loomio_backup.catalogue.objects import read_object
from loomio_backup.encryption import crypto

IDENTITY = crypto.generate_identity()
IDENTITIES = crypto.parse_identities(IDENTITY)
RECIPIENTS = [crypto.recipient_of(IDENTITY)]


class Tree:
    """A source, a catalogue, and the packs that were written to `out`; `packs` are the usable ones."""

    def __init__(self, root: Path, catalogue: Catalogue) -> None:
        self.root = root / "storage"
        self.root.mkdir(exist_ok=True)
        self.out = root
        self.catalogue = catalogue
        self.scan = Scan(catalogue, {"storage": self.root})
        self.packs: set[str] = set()
        self.repacked = Repacked(0, 0, 0)
        self.reuse = Reuse(0, 0, 0)
        """What the last `pack` found in earlier packs."""

    def backup(self, between: Callable[[], None] = lambda: None) -> list[str]:
        """The file part of one backup: two passes, and what happens between them. Returns the names of its
        new packs.
        """
        self.scan = Scan(self.catalogue, self.scan.roots)
        self.scan.walk()
        names = self.pack(leave_sparse=True)
        reuse = self.reuse
        between()
        self.scan.walk()
        names += self.pack()
        self.reuse = reuse
        return names

    def pack(self, leave_sparse: bool = False) -> list[str]:
        """Pack what no usable pack holds; returns the packs' names."""
        self.reuse = incremental.assign_packs(self.catalogue, self.scan, self.scan.roots, self.packs)
        if leave_sparse:
            self.repacked = incremental.leave_sparse_packs(self.catalogue, self.scan)
        names = []
        for lot in packs.batches(self.scan):
            name = packs.pack_name()
            digests, contents = packs.write_pack(name, lot, self.scan.roots, self.out / name, RECIPIENTS)
            with self.catalogue.transaction():
                self.scan.set_packed(contents.packed, contents.vanished, contents.changed)
                self.catalogue.add_packed(incremental.packed_rows(contents.packed))
                self.catalogue.add_object(ObjectEntry.of(name, "pack", digests, RECIPIENTS))
            self.packs.add(name)
            names.append(name)
        return names

    def entries(self) -> dict[str, ScanEntry]:
        """What the index says, read back from the index."""
        path = self.out / "index"
        path.unlink(missing_ok=True)
        write_index(self.scan, path, RECIPIENTS)
        with read_object(path, IDENTITIES) as source:
            found = list(read_index(source))
        assert [entry.path for entry in found] == sorted(entry.path for entry in found)
        return {text_of(entry.path): entry for entry in found}

    def files(self) -> dict[str, str | None]:
        """The pack of every file of the index."""
        return {path: entry.pack for path, entry in self.entries().items() if entry.type == "file"}

    def members(self, pack: str) -> Iterator[tuple[str, bytes]]:
        """Names and contents, in order, as a tar of the format would give them."""
        with (
            read_object(self.out / pack, IDENTITIES) as source,
            tarfile.open(fileobj=io.BytesIO(source.read()), errors="surrogateescape") as tar,
        ):
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                yield member.name, content.read()

    def check(self) -> None:
        """Every file of the index is in its pack with the index's hash, as the last member of its name."""
        contents: dict[str, dict[str, bytes]] = {}
        for path, entry in self.entries().items():
            if entry.type == "file":
                assert entry.pack is not None
                if entry.pack not in contents:
                    contents[entry.pack] = dict(self.members(entry.pack))
                data = contents[entry.pack][path]
                assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.size, entry.sha256)
