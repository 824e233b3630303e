"""How much of everything a data set has, from its three numbers."""

from dataclasses import dataclass

# One topic with all that hangs on it (comments, readers, notifications, votes, search documents …) is about
# this much COPY text; see tests/unit/test_data_generator.py.
_BYTES_PER_TOPIC = 21_500
_MEGABYTE = 1_000_000

ITEMS_PER_TOPIC = 12
READERS_PER_TOPIC = 10
REACTIONS_PER_TOPIC = 8
NOTIFICATIONS_PER_TOPIC = 20
VERSIONS_PER_TOPIC = 6
OPTIONS_PER_POLL = 4
STANCES_PER_POLL = 10
MEMBERSHIPS_PER_USER = 3
#: Every so manyth topic is about a poll, the others are about a discussion.
POLL_EVERY = 5


@dataclass(frozen=True)
class Spec:
    """A data set: equal specs make equal bytes. db_mb: MB of SQL script; files_mb: MB of files."""

    seed: int
    db_mb: int
    files_mb: int

    def __post_init__(self) -> None:
        if self.db_mb < 1 or self.files_mb < 1:
            raise ValueError("db_mb and files_mb must be at least 1")

    @property
    def large_value_bytes(self) -> int:
        """The size of the one large bytea, which is twice as much text."""
        return min(3 * 1024 * 1024, self.db_mb * _MEGABYTE // 16)

    @property
    def topics(self) -> int:
        room = self.db_mb * _MEGABYTE - 2 * self.large_value_bytes
        return max(POLL_EVERY, room // _BYTES_PER_TOPIC)

    @property
    def polls(self) -> int:
        return self.topics // POLL_EVERY

    @property
    def discussions(self) -> int:
        return self.topics - self.polls

    @property
    def comments(self) -> int:
        return self.topics * (ITEMS_PER_TOPIC - 1)

    @property
    def users(self) -> int:
        return 50 + self.topics // 10

    @property
    def groups(self) -> int:
        return 10 + self.topics // 100
