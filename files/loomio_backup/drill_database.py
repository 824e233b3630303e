"""What is asked of a restored copy: the questions of the older guide, and which attachments it knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from loomio_backup import postgres
from loomio_backup.docker import Helper
from loomio_backup.psql import Session, session

_ACTIVITY = ("topic_items", "events")
"""Tables whose newest row is the latest activity: of Loomio since 2026, and before."""


@dataclass(frozen=True)
class Answers:
    """Size of the database in bytes, number of users, latest activity; None where there is no such table."""

    database_bytes: int
    users: int | None
    latest_activity: datetime | None


@dataclass(frozen=True)
class Blob:
    """A row of an attachment that is stored in a file. `size` in bytes, `checksum` base64 of its MD5; None
    where the row does not say.
    """

    key: str
    size: int | None
    checksum: str | None


def answers(helper: Helper, database: str) -> Answers:
    """Ask what the guide has people ask after a restore. Raises SqlError."""
    with session(helper, database) as sql:
        users = None
        if postgres.has_columns(sql, "users", "id"):
            users = postgres.count_rows(sql, "public.users")
        size = sql.value("SELECT to_json(pg_database_size(current_database()))")
        return Answers(int(size), users, _latest_activity(sql))


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


def _latest_activity(sql: Session) -> datetime | None:
    found = [
        sql.value(f"SELECT to_json(max(created_at)::timestamptz) FROM public.{table}")  # noqa: S608
        for table in _ACTIVITY
        if postgres.has_columns(sql, table, "created_at")
    ]
    return max((datetime.fromisoformat(moment) for moment in found if moment), default=None)
