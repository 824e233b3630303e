"""Attachments that the database knows and the disk does not: the baseline for every later check.

Rails stores the file of a blob under `storage/ab/cd/abcd…`; a blob may be seconds older than its file, and
old installations have some whose file was lost long ago.
"""

from collections.abc import Iterator

from loomio_backup.backup.appdata import bytes_of
from loomio_backup.backup.scan import Scan
from loomio_backup.catalogue.catalogue import Catalogue

SOURCE = "storage"
"""The app-data source that holds ActiveStorage's files."""


class Attachments:
    """The keys of all locally stored blobs in the dump, in a temporary table until the files are known."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        catalogue.database.execute("CREATE TEMP TABLE attachments (key TEXT PRIMARY KEY) WITHOUT ROWID")

    def remember(self, keys: Iterator[str]) -> None:
        """Take the keys of one snapshot in place of those of an earlier try."""
        with self._catalogue.transaction() as database:
            database.execute("DELETE FROM attachments")
            database.executemany("INSERT OR IGNORE INTO attachments VALUES (?)", ((key,) for key in keys))

    def without_file(self, scan: Scan) -> list[str]:
        """The keys, sorted, whose file is not in the scan; none when this Pi keeps no such source."""
        if SOURCE not in scan.roots:
            return []
        rows = self._catalogue.database.execute("SELECT key FROM attachments ORDER BY key")
        return [key for (key,) in rows if not scan.has_file(bytes_of(f"{SOURCE}/{key[:2]}/{key[2:4]}/{key}"))]
