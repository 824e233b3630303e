"""One backup as one tar, as a stream: what `export` compresses and encrypts.

README.md           what this is, and how to bring it back by hand
manifest.json       the manifest
config/…            the config object's content
database.dump       for pg_restore
app-data/…          every file, then every directory with its links, as the index describes them: what is
                    extracted into a directory after it is set right would change its time again
"""

import hashlib
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from typing import IO

from loomio_backup.backup import bundle, packs, recovery_md
from loomio_backup.backup.appdata import ScanEntry, text_of
from loomio_backup.backup.index import read_index
from loomio_backup.backup.index_table import IndexTable
from loomio_backup.catalogue.manifest import Manifest, payload_of
from loomio_backup.errors import DamagedObject
from loomio_backup.progress import Ticker, bytes_text
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.streams import read_blocks

_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}
_END = bytes(2 * tarfile.BLOCKSIZE)
_APP_DATA = "app-data/"
_READ = 256 << 10


class ExportTar:
    """The tar of one backup. Reading it raises DamagedObject, WrongKey or RestoreError, at the latest at its
    end, when something in it is not what the manifest says.
    """

    def __init__(self, manifest: Manifest, fetcher: Fetcher, index: IndexTable) -> None:
        self._manifest = manifest
        self._fetcher = fetcher
        self._index = index
        self._ticker = Ticker("export")
        self._bytes = 0

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the tar."""
        manifest = self._manifest
        with self._fetcher.content(manifest.only("index")) as source:
            self._index.load(read_index(source))
        with self._fetcher.content(manifest.only("config")) as source:
            properties = bundle.read(source).properties
        yield from self._text("README.md", recovery_md.export_text(manifest, properties))
        yield from self._text("manifest.json", payload_of(manifest) + "\n")
        yield from self._config()
        yield from self._database()
        yield from self._files()
        for entry in self._index.all_but_files():
            yield _header(entry)
        yield _END

    def _text(self, name: str, text: str) -> Iterator[bytes]:
        data = text.encode()
        yield self._plain_header(name, len(data), 0o600)
        yield data + _padding(len(data))

    def _config(self) -> Iterator[bytes]:
        entry = self._manifest.only("config")
        with (
            packs.damage_told(entry.name),
            self._fetcher.content(entry) as source,
            tarfile.open(fileobj=source, mode="r|") as tar,
        ):
            for member in tar:
                content = tar.extractfile(member)
                if content is not None:
                    yield self._plain_header("config/" + member.name, member.size, member.mode)
                    yield content.read() + _padding(member.size)

    def _database(self) -> Iterator[bytes]:
        entry = self._manifest.only("database")
        yield self._plain_header("database.dump", entry.plain_size, 0o600)
        digest = hashlib.sha256()
        with self._fetcher.content(entry) as source:
            for block in read_blocks(source):
                digest.update(block)
                yield self._counted(block)
        if digest.hexdigest() != entry.plain_sha256:
            raise DamagedObject(f"{entry.name} holds something else than the manifest says.")
        yield _padding(entry.plain_size)

    def _files(self) -> Iterator[bytes]:
        entries = self._manifest.packs()
        for pack in self._index.packs():
            if pack not in entries:
                raise DamagedObject(f"the index needs {pack}, which {self._manifest.name} does not list.")
            with (
                self._index.transaction(),
                packs.damage_told(pack),
                self._fetcher.content(entries[pack]) as source,
            ):
                for path, size, content in packs.members(source):
                    entry = self._index.wanted(pack, path)
                    # A pack may also hold what a file was when it was still changing.
                    if entry is not None and size == entry.size:
                        yield from self._file(entry, content)
            self._index.require_all_of(pack)

    def _file(self, entry: ScanEntry, content: IO[bytes]) -> Iterator[bytes]:
        """A file. Should it not be the right state after all, the right one follows under the same name, and
        tar extracts the last.
        """
        yield _header(entry)
        digest = hashlib.sha256()
        while block := content.read(_READ):
            digest.update(block)
            yield self._counted(block)
        yield _padding(entry.size)
        if digest.hexdigest() == entry.sha256:
            self._index.had(entry)

    def _plain_header(self, name: str, size: int, mode: int) -> bytes:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, mode
        member.mtime = int(self._manifest.snapshot_at.timestamp())
        return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    def _counted(self, block: bytes) -> bytes:
        self._bytes += len(block)
        total = self._manifest.only("database").plain_size + self._manifest.app_data.bytes
        self._ticker.tick(f"{bytes_text(self._bytes)} of {bytes_text(total)}", self._bytes / max(1, total))
        return block


def _header(entry: ScanEntry) -> bytes:
    member = tarfile.TarInfo(_APP_DATA + text_of(entry.path))
    member.type = _TYPES[entry.type]
    member.size, member.mode, member.uid, member.gid = entry.size, entry.mode, entry.uid, entry.gid
    if entry.target is not None:
        member.linkname = text_of(entry.target)
    member.mtime = max(0, entry.mtime_ns // 10**9)
    # To the nanosecond, and before 1970 too.
    member.pax_headers = {"mtime": str(Decimal(entry.mtime_ns).scaleb(-9))}
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
