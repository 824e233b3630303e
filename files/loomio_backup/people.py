"""What a person looks at to believe a restored database: its size, how many people, what they did last."""

from dataclasses import dataclass
from datetime import datetime

from loomio_backup import postgres
from loomio_backup.docker import Helper
from loomio_backup.progress import bytes_text
from loomio_backup.psql import session

_SIZE = "SELECT to_json(pg_database_size(current_database()))"
_USERS = "SELECT to_json(count(*)) FROM public.users"
_LATEST = "SELECT to_json(max(created_at) AT TIME ZONE 'UTC') FROM public.events"


@dataclass(frozen=True)
class Look:
    """Bytes of the database; users and the time of the latest event (UTC, as the database has it), None where
    a database has no such table.
    """

    bytes: int
    users: int | None
    latest_activity: datetime | None

    @property
    def sentence(self) -> str:
        """The same in words."""
        said = [f"{bytes_text(self.bytes)} on disk"]
        if self.users is not None:
            said.append(f"{self.users} users")
        if self.latest_activity is not None:
            said.append(f"latest activity {self.latest_activity:%Y-%m-%d %H:%M} UTC")
        return ", ".join(said)


def look(helper: Helper, database: str) -> Look:
    """Ask a database the three questions."""
    with session(helper, database) as sql:
        size = int(sql.value(_SIZE))
        users = sql.value(_USERS) if postgres.has_columns(sql, "users", "id") else None
        latest = sql.value(_LATEST) if postgres.has_columns(sql, "events", "created_at") else None
    return Look(size, users, datetime.fromisoformat(latest) if latest else None)
