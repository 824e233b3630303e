"""Which files need not travel: those whose content some usable pack already holds under their path.

Three questions, in this order. Does a row of `packed` show the file as it looks now (size, mtime, ctime and
inode)? Then nothing is read. Is there a row of the same size whose looks differ (touched, copied back, on
another Pi, or known from an index only)? Then the file is read, and its hash decides. Otherwise it is packed.
No time stamp alone is ever believed: see filereading.py.

A pack whose files are mostly gone, and small packs when there are many of them, are left behind: their live
files are packed anew, and the old pack goes with the last backup that needs it.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from loomio_backup.backup import filereading
from loomio_backup.backup.appdata import Roots, ScanEntry, host_path
from loomio_backup.backup.packs import PACK_BYTES
from loomio_backup.backup.scan import Scan
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.progress import Ticker, bytes_text

SMALL_PACK_BYTES = PACK_BYTES // 4
MOST_SMALL_PACKS = 30
REPACKED_BYTES = 2 * PACK_BYTES
"""At most so many bytes of files are packed anew by one backup, so that its cost follows what changed."""

_KNOWN_INDEX = "known_index"
_BATCH = 1000


@dataclass(frozen=True)
class Reuse:
    """Files that packs already hold, their bytes, and how many were read to find that out (or not)."""

    files: int
    bytes: int
    hashed: int


@dataclass(frozen=True)
class Repacked:
    """Packs that were left behind, and how many files of how many bytes are therefore packed anew."""

    packs: int
    files: int
    bytes: int


def assign_packs(catalogue: Catalogue, scan: Scan, roots: Roots, usable: Set[str]) -> Reuse:
    """Give every scanned file without a pack the one of `usable` that holds its content, if there is one.

    Call it after each walk; packs that this very backup has stored are usable too. Raises SourceError for a
    file that cannot be read.
    """
    _set_usable(catalogue, usable)
    before = _packed_so_far(catalogue)
    with catalogue.transaction() as database:
        database.execute(_SAME_LOOKS)
    hashed = _compare_contents(catalogue, scan, roots)
    files, size = _packed_so_far(catalogue)
    return Reuse(files - before[0], size - before[1], hashed)


def leave_sparse_packs(catalogue: Catalogue, scan: Scan) -> Repacked:
    """Mark the live files of sparse packs, and of a crowd of small ones, for packing again.

    Sparse: the live files are less than half of the pack. A crowd: more than `MOST_SMALL_PACKS` small ones
    are in use; then the smallest half of them becomes one. Call it after `assign_packs`, before packing, in
    the first pass only.
    """
    left = _worth_leaving([_InUse(*row) for row in catalogue.database.execute(_IN_USE)])
    with catalogue.transaction() as database:
        for pack in left:
            database.execute("UPDATE temp.scan SET sha256 = NULL, pack = NULL WHERE pack = ?", (pack.name,))
            # Nobody shall find the files there again; packs that hold nothing known count as no loss.
            database.execute("DELETE FROM packed WHERE pack = ?", (pack.name,))
    return Repacked(len(left), sum(pack.files for pack in left), sum(pack.bytes for pack in left))


def load_index(catalogue: Catalogue, entries: Iterable[ScanEntry], index_name: str) -> int:
    """Learn from a backup's index what its packs hold; returns how many files that are.

    What is known better already stays. The rest is known by hash only.
    """
    count = 0
    with catalogue.transaction() as database:
        for batch in _batches(entry for entry in entries if entry.type == "file"):
            database.executemany(
                "INSERT OR IGNORE INTO packed VALUES (?, ?, ?, ?, 0, ?, ?)",
                ((e.path, e.pack, e.size, e.mtime_ns, filereading.HASH_ONLY, e.sha256) for e in batch),
            )
            count += len(batch)
        remember_index(catalogue, index_name)
    return count


def known_index(catalogue: Catalogue) -> str | None:
    """The last index whose packs' contents are known here: of another one, `load_index` has to be told."""
    return catalogue.meta(_KNOWN_INDEX)


def remember_index(catalogue: Catalogue, index_name: str) -> None:
    """An index was written here, so that everything in it is known already."""
    catalogue.set_meta(_KNOWN_INDEX, index_name)


# A file may be in several packs as it looks now (after some store was away for a while); the choice has to
# be the same every time, or the index would differ without a reason.
_SAME_LOOKS = """
UPDATE temp.scan SET (sha256, pack) = (
    SELECT p.sha256, p.pack FROM packed p
    WHERE p.path = scan.path AND p.size = scan.size AND p.mtime_ns = scan.mtime_ns
      AND p.ctime_ns = scan.ctime_ns AND p.inode = scan.inode AND p.pack IN (SELECT pack FROM temp.usable)
    ORDER BY p.pack DESC LIMIT 1)
WHERE type = 'file' AND pack IS NULL
"""
_TO_COMPARE = """
type = 'file' AND pack IS NULL AND path > ? AND EXISTS (
    SELECT 1 FROM packed p
    WHERE p.path = scan.path AND p.size = scan.size AND p.pack IN (SELECT pack FROM temp.usable))
ORDER BY path LIMIT ?
"""
_SAME_CONTENT = """
SELECT max(pack) FROM packed
WHERE path = ? AND size = ? AND sha256 = ? AND pack IN (SELECT pack FROM temp.usable)
"""
# What a file takes in a tar: its header, its content in whole blocks, and (for long names and odd ones) a
# header before the header. Bytes of the files alone would make a pack of many small ones look empty.
_MEMBER = """
(512 + (size + 511) / 512 * 512 +
 CASE WHEN length(path) > 100 OR CAST(path AS TEXT) GLOB '*[^ -~]*'
      THEN 1024 + (length(path) + 20) / 512 * 512 ELSE 0 END)
"""
_IN_USE = f"""
SELECT pack, count(*), sum(size), sum({_MEMBER}),
       (SELECT json_extract(entry, '$.plain_size') - 1024 FROM objects WHERE name = pack)
FROM temp.scan WHERE type = 'file' AND pack IS NOT NULL GROUP BY pack
"""  # noqa: S608 - written in this file


@dataclass(frozen=True)
class _InUse:
    """A pack that this scan needs: live files, their bytes, what they take in the tar, what all of it takes
    (without the two blocks at its end).
    """

    name: str
    files: int
    bytes: int
    live: int
    held: int | None


def _worth_leaving(packs: Sequence[_InUse]) -> list[_InUse]:
    sparse = sorted(
        (pack for pack in packs if pack.held is not None and pack.live * 2 < pack.held),
        key=lambda pack: (pack.live / (pack.held or 1), pack.name),
    )
    staying = set(packs) - set(sparse)
    small = sorted((p for p in staying if p.live < SMALL_PACK_BYTES), key=lambda pack: (pack.live, pack.name))
    crowd = small[: len(small) // 2] if len(small) > MOST_SMALL_PACKS else []
    left: list[_InUse] = []
    room = REPACKED_BYTES
    for pack in [*sparse, *crowd]:
        if pack.live <= room:
            left.append(pack)
            room -= pack.live
    return left


def _compare_contents(catalogue: Catalogue, scan: Scan, roots: Roots) -> int:
    ticker = Ticker("app-data")
    hashed = size = 0
    after = b""
    while entries := scan.select(_TO_COMPARE, after, _BATCH):
        equal = []
        for entry in entries:
            read = filereading.hash_file(host_path(roots, entry.path), entry.size)
            if read is None:
                # It is changing right now, or gone: packing it finds out.
                continue
            hashed += 1
            size += entry.size
            status, began, sha256 = read
            found = catalogue.database.execute(_SAME_CONTENT, (entry.path, entry.size, sha256)).fetchone()[0]
            if found is not None:
                equal.append(filereading.as_read(entry, status, began, sha256, found))
            ticker.tick(f"{hashed} files, {bytes_text(size)} compared with earlier packs")
        with catalogue.transaction():
            scan.set_packed(equal)
            catalogue.add_packed(packed_rows(equal))
        after = entries[-1].path
    return hashed


def packed_rows(entries: Iterable[ScanEntry]) -> Iterator[tuple[object, ...]]:
    """Packed entries as `Catalogue.add_packed` takes them."""
    return ((e.path, e.pack, e.size, e.mtime_ns, e.ctime_ns, e.inode, e.sha256) for e in entries)


def _set_usable(catalogue: Catalogue, usable: Set[str]) -> None:
    with catalogue.transaction() as database:
        database.execute("CREATE TEMP TABLE IF NOT EXISTS usable (pack TEXT PRIMARY KEY) WITHOUT ROWID")
        database.execute("DELETE FROM usable")
        database.executemany("INSERT INTO usable VALUES (?)", ((pack,) for pack in usable))


def _packed_so_far(catalogue: Catalogue) -> tuple[int, int]:
    count, size = catalogue.database.execute(
        "SELECT count(*), coalesce(sum(size), 0) FROM temp.scan WHERE type = 'file' AND pack IS NOT NULL"
    ).fetchone()
    return int(count), int(size)


def _batches(entries: Iterable[ScanEntry]) -> Iterator[list[ScanEntry]]:
    batch: list[ScanEntry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
