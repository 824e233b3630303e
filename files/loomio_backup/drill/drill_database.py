"""Which attachments a restored copy knows."""

from collections.abc import Iterator
from dataclasses import dataclass

from loomio_backup.database import postgres
from loomio_backup.database.psql import session
from loomio_backup.docker import Helper


@dataclass(frozen=True)
class Blob:
    """A row of an attachment that is stored in a file. `size` in bytes, `checksum` base64 of its MD5; None
    where the row does not say.
    """

    key: str
    size: int | None
    checksum: str | None


def blobs(helper: Helper, database: str) -> Iterator[Blob]:
    """Every attachment that is kept in a file, as the copy knows it. Raises SqlError."""
    with session(helper, database) as sql:
        if not postgres.has_columns(sql, "active_storage_blobs", "key", "service_name"):
            return
        described = postgres.has_columns(sql, "active_storage_blobs", "byte_size", "checksum")
        more = "byte_size, checksum" if described else "NULL, NULL"
        # FETCH_COUNT: psql passes the rows on as they come instead of collecting all of them first.
        for key, size, checksum in sql.rows(
            f"\\set FETCH_COUNT 5000\nSELECT json_build_array(key, {more}) "
            "FROM public.active_storage_blobs WHERE service_name = 'local'"
        ):
            yield Blob(str(key), None if size is None else int(size), checksum)
