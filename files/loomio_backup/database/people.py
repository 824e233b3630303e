"""What a person looks at to believe a restored database, as the older guide has it: its size, how many
people, what they did last.
"""

from dataclasses import dataclass
from datetime import datetime

from loomio_backup.database import postgres
from loomio_backup.database.psql import Session, session
from loomio_backup.docker import Helper
from loomio_backup.progress import bytes_text

_ACTIVITY = ("topic_items", "events")
"""Tables whose newest row is the latest activity: of Loomio since 2026, and before."""


@dataclass(frozen=True)
class Look:
    """Size of the database in bytes, number of users, latest activity; None where there is no such table."""

    database_bytes: int
    users: int | None
    latest_activity: datetime | None

    @property
    def sentence(self) -> str:
        """The same in words."""
        said = [f"{bytes_text(self.database_bytes)} on disk"]
        if self.users is not None:
            said.append(f"{self.users} users")
        if self.latest_activity is not None:
            said.append(f"latest activity {self.latest_activity:%Y-%m-%d %H:%M} UTC")
        return ", ".join(said)


def look(helper: Helper, database: str) -> Look:
    """Ask a database the three questions. Raises SqlError."""
    with session(helper, database) as sql:
        users = None
        if postgres.has_columns(sql, "users", "id"):
            users = postgres.count_rows(sql, "public.users")
        size = sql.value("SELECT to_json(pg_database_size(current_database()))")
        return Look(int(size), users, _latest_activity(sql))


def _latest_activity(sql: Session) -> datetime | None:
    found = [
        sql.value(f"SELECT to_json(max(created_at)::timestamptz) FROM public.{table}")  # noqa: S608
        for table in _ACTIVITY
        if postgres.has_columns(sql, table, "created_at")
    ]
    return max((datetime.fromisoformat(moment) for moment in found if moment), default=None)
