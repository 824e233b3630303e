"""Programs that read a dump as it comes: through a FIFO, in a helper container, without the chance of waiting
forever.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from loomio_backup.backup.fifo import FifoReader, FifoWriter, Running, make_fifo
from loomio_backup.docker import WORK, Helper
from loomio_backup.errors import RestoreError
from loomio_backup.progress import Ticker, bytes_text
from loomio_backup.streams import BLOCK, Sink, write_all

_Result = TypeVar("_Result")


def _restore(sections: str) -> str:
    # Every table and index is a transaction of its own, and an SD card takes its time to confirm each. What
    # is written at the end of statistics.gather is confirmed, and with it all that came before.
    return f"""
{{
  PGOPTIONS="-c synchronous_commit=off" pg_restore --exit-on-error --no-password {sections} -d "$1"
  status=$?
  test $status -ne 0 || cat >/dev/null
  exit $status
}} <{WORK}/restore
"""


RESTORE = _restore("")
"""Restores the file `restore` of the work directory into the database $1 (see `fed`)."""
ROWS = _restore("--section=pre-data --section=data")
"""The same, but for what comes after the rows: indexes, constraints, triggers."""
REST = _restore("--section=post-data")
"""What `ROWS` leaves out."""


def fed(
    helper: Helper,
    script: str,
    argument: str,
    failure: str,
    feed: Callable[[Sink], _Result],
    *more: str,
    out: Sink | None = None,
) -> _Result:
    """Run a program (`argument` and `more` are its $1, $2 …) that reads what `feed` writes as the file
    `restore` of its work directory. What it writes into the file `out` there goes to `out`, and to no disk.

    Raises RestoreError, with `failure` and what the program said, unless it ends well.
    """
    with tempfile.TemporaryFile() as stderr:
        fifo = make_fifo(helper.directory / "restore")
        # Before the program starts, which would make a file of that name.
        written = make_fifo(helper.directory / "out")
        process = helper.start(script, argument, *more, stdout=subprocess.DEVNULL, stderr=stderr)

        def running() -> bool:
            return process.poll() is None

        writer = FifoWriter(fifo, running)
        result: _Result | None = None
        with _drained(written, out, running):
            try:
                result = feed(_Counted(writer))
            except BrokenPipeError:
                pass  # Its exit status and what it said are the reason.
            finally:
                writer.close()
                status = process.wait()
                fifo.unlink()
        if result is None or status != 0:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").strip()
            raise RestoreError(
                f"{failure} (exit status {status}): {said or 'it said nothing'}. "
                "The live database was not touched."
            )
        return result


@contextmanager
def _drained(written: Path, out: Sink | None, running: Running) -> Iterator[None]:
    """Meanwhile, what a program writes into the FIFO goes to `out`, if there is one; all of it is there when
    the block has ended. Whatever `out` raises is raised then, and the program gets a broken pipe.
    """

    def drain(sink: Sink) -> None:
        reader = FifoReader(written, running)
        try:
            while block := reader.read(BLOCK):
                write_all(sink, block)
        finally:
            reader.close()

    try:
        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(drain, out) if out is not None else None
            yield
            if draining is not None:
                draining.result()
    finally:
        written.unlink()


class _Counted:
    def __init__(self, writer: FifoWriter) -> None:
        self._writer = writer
        self._ticker = Ticker("database")
        self._bytes = 0

    def write(self, data: "bytes | memoryview", /) -> int:
        self._bytes += self._writer.write(data)
        self._ticker.tick(f"{bytes_text(self._bytes)} restored")
        return len(data)
