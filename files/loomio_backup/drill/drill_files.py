"""The files of a backup, looked at without being written: every attachment of the copy has its file in the
index, and what comes out of the packs is what the index says.
"""

import base64
import hashlib
import math
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from loomio_backup.backup import packs
from loomio_backup.backup.appdata import ScanEntry, text_of
from loomio_backup.backup.attachments import SOURCE
from loomio_backup.backup.index import read_index
from loomio_backup.backup.index_table import IndexTable
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.drill.drill_database import Blob
from loomio_backup.errors import DamagedObject
from loomio_backup.progress import Ticker
from loomio_backup.restore.restore_fetch import Fetcher

_READ = 256 << 10
_SAMPLED = 0.1
"""This share of the packs, at least one, is read for a sample."""


@dataclass
class FileFindings:
    """What was looked at: files and bytes that were read, attachments and how many of them have no file
    (those of the manifest's baseline included), and what is wrong, in sentences.
    """

    files: int = 0
    bytes: int = 0
    attachments: int = 0
    missing: int = 0
    problems: list[str] = field(default_factory=list)


class FileCheck:
    """Compares the files of one backup. `directory` is for scratch files, which hold what may not fit into
    memory.
    """

    def __init__(self, manifest: Manifest, fetcher: Fetcher, directory: Path) -> None:
        self._manifest = manifest
        self._fetcher = fetcher
        self._index = IndexTable(directory / "index.sqlite")
        self._blobs = sqlite3.connect(directory / "attachments.sqlite", isolation_level=None)
        self._blobs.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE blobs (key TEXT PRIMARY KEY, size INTEGER, checksum TEXT, found INTEGER) "
            "WITHOUT ROWID"
        )
        self.findings = FileFindings()

    def close(self) -> None:
        """Let go of the scratch files."""
        self._index.close()
        self._blobs.close()

    def remember(self, blobs: Iterable[Blob]) -> None:
        """Take in the attachments that the copy knows."""
        self._blobs.execute("BEGIN")
        self._blobs.executemany(
            "INSERT OR REPLACE INTO blobs (key, size, checksum) VALUES (?, ?, ?)",
            ((blob.key, blob.size, blob.checksum) for blob in blobs),
        )
        self._blobs.execute("COMMIT")

    def load_index(self) -> None:
        """Take in the index, and compare it with the manifest. Raises DamagedObject."""
        with self._fetcher.content(self._manifest.only("index")) as source:
            self._index.load(read_index(source))
        totals, told = self._index.totals(), self._manifest.app_data
        if (totals.files, totals.bytes) != (told.files, told.bytes):
            self._wrong(
                f"the index of {self._manifest.name} lists {totals.files} files ({totals.bytes} bytes), the "
                f"manifest {told.files} ({told.bytes} bytes)"
            )

    def match_attachments(self) -> None:
        """Look for the file of every attachment in the index."""
        if SOURCE not in self._manifest.app_data.sources:
            return
        self._blobs.execute("BEGIN")
        for entry in self._index.files():
            key = _key_of(entry)
            if key is not None:
                self._blobs.execute("UPDATE blobs SET found = ? WHERE key = ?", (entry.size, key))
        self._blobs.execute("COMMIT")
        [self.findings.attachments] = self._blobs.execute("SELECT count(*) FROM blobs").fetchone()
        missing = [key for (key,) in self._blobs.execute("SELECT key FROM blobs WHERE found IS NULL")]
        self.findings.missing = len(missing)
        unexpected = sorted(set(missing) - set(self._manifest.attachments_missing))
        if unexpected:
            self._wrong(
                f"{_some(unexpected)} in the database of {self._manifest.name} without a file in it, though "
                "the files were there when it was made"
            )
        wrong = [
            key for (key,) in self._blobs.execute("SELECT key FROM blobs WHERE found <> size ORDER BY key")
        ]
        if wrong:
            self._wrong(f"{_some(wrong)} in {self._manifest.name} whose file has another size than the row")

    def read_packs(self, sample: bool) -> None:
        """Read the packs (of a sample: some), and compare every file in them."""
        entries, names = self._manifest.packs(), self._index.packs()
        if sample:
            chosen = random.SystemRandom().sample(names, math.ceil(len(names) * _SAMPLED))
            names = sorted(chosen)
        ticker = Ticker("app-data")
        for number, name in enumerate(names, start=1):
            with self._told():
                if name not in entries:
                    raise DamagedObject(f"the index needs {name}, which {self._manifest.name} does not list.")
                with self._fetcher.content(entries[name]) as source, packs.damage_told(name):
                    for path, _, content in packs.members(source):
                        self._compare(name, path, content)
                self._index.require_all_of(name)
            ticker.tick(f"{number} of {len(names)} packs read", number / len(names))

    def _compare(self, pack: str, path: bytes, content: IO[bytes]) -> None:
        entry = self._index.wanted(pack, path)
        if entry is None:
            return
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        while block := content.read(_READ):
            sha256.update(block)
            md5.update(block)
        if sha256.hexdigest() != entry.sha256:
            return  # a pack may also hold what a file was when it was still changing
        self._index.had(entry)
        self.findings.files += 1
        self.findings.bytes += entry.size
        key = _key_of(entry)
        row = self._blobs.execute("SELECT checksum FROM blobs WHERE key = ?", (key,)).fetchone()
        if row is not None and row[0] not in (None, base64.b64encode(md5.digest()).decode()):
            self._wrong(f"the file of the attachment {key} has another checksum than its row")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """One pack that is damaged keeps no other from being looked at."""
        try:
            yield
        except DamagedObject as error:
            self._wrong(str(error))

    def _wrong(self, sentence: str) -> None:
        self.findings.problems.append(sentence.rstrip("."))


def _key_of(entry: ScanEntry) -> str | None:
    """The key of the attachment whose file this is, if it is one."""
    text = text_of(entry.path)
    key = text.rpartition("/")[2]
    return key if text == f"{SOURCE}/{key[:2]}/{key[2:4]}/{key}" else None


def _some(keys: list[str]) -> str:
    if len(keys) == 1:
        return f"there is an attachment ({keys[0]})"
    return f"there are {len(keys)} attachments ({keys[0]}, {keys[1]}{' …' if len(keys) > 2 else ''})"
