"""What a dump makes after its rows (indexes, constraints, triggers), on several connections at a time.

Of a dump that is read as it comes, pg_restore can only do one thing after the other. What comes after the
rows needs none of them, though, only the dump's table of contents, which stands at its beginning: kept in
memory, that serves as many connections as there are cores.
"""

import os
import subprocess
import tempfile

from loomio_backup.database.psql import session
from loomio_backup.docker import WORK, Helper
from loomio_backup.restore.restore_fed import fed
from loomio_backup.streams import Sink, write_all

_LONGEST = 8 << 20
"""Bytes of the beginning that are kept. The contents of a Loomio's dump take some 300 kB."""
_MOST = 8
"""Connections."""
# Memory, never a disk: what follows the contents are people's rows.
_PLACE = "/dev/shm/loomio-contents"  # noqa: S108
_RESTORE = f"""
umask 077
cat <{WORK}/restore >{_PLACE} || exit
PGOPTIONS="-c synchronous_commit=off -c maintenance_work_mem=$3" \
  pg_restore --exit-on-error --no-password --section=post-data -j "$2" -d "$1" {_PLACE}
status=$?
rm -f {_PLACE}
exit $status
"""
_MEMORY = "SELECT to_json(setting::bigint) FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem'"
_LEAST_KB = 4 << 10


class Beginning:
    """A sink that passes everything on, and keeps the beginning."""

    def __init__(self, sink: Sink, longest: int = _LONGEST) -> None:
        self._sink, self._longest = sink, longest
        self.kept = bytearray()

    def write(self, data: "bytes | memoryview", /) -> int:
        written = self._sink.write(data)
        count = len(data) if written is None else written
        if (room := self._longest - len(self.kept)) > 0:
            self.kept += memoryview(data)[: min(room, count)]
        return count


def holds_contents(helper: Helper, beginning: bytes) -> bool:
    """Whether pg_restore finds the whole table of contents in it."""
    with tempfile.TemporaryFile() as file:
        process = helper.start(
            "pg_restore --list", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=file
        )
        assert process.stdin is not None
        try:
            with process.stdin as program:
                write_all(program, beginning)
        except BrokenPipeError:
            pass  # It has read what it wanted.
        return process.wait() == 0


def build(helper: Helper, database: str, beginning: bytes) -> None:
    """Make all that comes after the rows. It takes no more memory than one connection would.

    Raises RestoreError.
    """
    jobs = min(os.cpu_count() or 1, _MOST)
    with session(helper, database) as sql:
        memory = max(_LEAST_KB, int(sql.value(_MEMORY)) // jobs)

    def feed(sink: Sink) -> bool:
        write_all(sink, beginning)
        return True

    failure = f"pg_restore could not make the indexes of {database}"
    fed(helper, _RESTORE, database, failure, feed, str(jobs), f"{memory}kB")
