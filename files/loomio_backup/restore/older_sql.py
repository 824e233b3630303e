"""Looks at the SQL of an older backup as it streams by, before any of it is executed.

A dump that broke off may end in the middle of a table, which psql takes for its end, or before one that it
has made already; and one that was made with `pg_dump --create` would leave the database that it is meant for
and write into the live one.
"""

import re

# Bytes at each end of a line that are enough to know what it is: a COPY names all columns of its table.
_HEAD, _TAIL = 200, 40
_COPY = re.compile(rb"COPY \S", re.IGNORECASE)
_FROM_STDIN = re.compile(rb" FROM stdin;\s*$", re.IGNORECASE)
_LEAVES = re.compile(rb"\\c(onnect)?\b|\\!|\\i\b|\\o\b|\\g\b|\\copy\b")
_OTHER_DATABASE = re.compile(rb"(CREATE|DROP|ALTER) DATABASE\b", re.IGNORECASE)
_CREATES = re.compile(rb"CREATE (UNLOGGED )?TABLE\b", re.IGNORECASE)
_SEQUENCE = re.compile(rb"CREATE SEQUENCE\b", re.IGNORECASE)
_SETS = re.compile(rb"SELECT pg_catalog\.setval\(", re.IGNORECASE)
_END = b"-- PostgreSQL database dump complete"


class Survey:
    """A sink for the SQL. tables: how many are filled; complete: pg_dump's last words were there; within: the
    table in whose rows it ended; leaves: the first line that would work on another database.

    pg_dump makes all tables and sequences before it fills the first: `unfilled` counts those that were made
    only. Without the last words that is a dump that was cut off; with them, a table without rows of its own.
    """

    def __init__(self) -> None:
        self.tables = 0
        self.complete = False
        self.within: str | None = None
        self.leaves: str | None = None
        self.unfilled = 0
        self._line = b""
        self._tail = b""

    def write(self, data: "bytes | memoryview", /) -> int:
        """Take the next piece."""
        first, *rest = bytes(data).split(b"\n")
        self._line = (self._line + first[:_HEAD])[:_HEAD]
        self._tail = (self._tail + first[-_TAIL:])[-_TAIL:]
        for piece in rest:
            self._look(self._line)
            self._line, self._tail = piece[:_HEAD], piece[-_TAIL:]
        return len(data)

    def end(self) -> None:
        """There is no more."""
        self._look(self._line)

    def _look(self, line: bytes) -> None:
        if self.within is not None:
            if line.rstrip(b"\r") == b"\\.":
                self.within = None
        elif _COPY.match(line) and _FROM_STDIN.search(self._tail):
            self.within = line.split()[1].decode(errors="replace")
            self.tables += 1
            self.unfilled -= 1
        elif _CREATES.match(line) or _SEQUENCE.match(line):
            self.unfilled += 1
        elif _SETS.match(line):
            self.unfilled -= 1
        elif line.startswith(_END):
            self.complete = True
        elif self.leaves is None and (_LEAVES.match(line) or _OTHER_DATABASE.match(line)):
            self.leaves = line.decode(errors="replace")
