"""One psql session as a co-process: SQL goes in through a pipe, JSON comes out.

SQL travels on standard input, never in an argument, so that it may hold what nobody else should see. The
session ends at the first error (ON_ERROR_STOP), and its transaction with it.
"""

import contextlib
import json
import re
import secrets
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from loomio_backup.docker import Helper
from loomio_backup.errors import AgentError

_COMMAND = 'exec psql -X -q -A -t --no-password -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d "$1"'


class SqlError(AgentError):
    """A statement failed; `code` is its SQLSTATE ("" when the connection itself failed)."""

    def __init__(self, said: str) -> None:
        lines = [line for line in said.splitlines() if "ERROR" in line or "FATAL" in line or "error:" in line]
        first = lines[0] if lines else said.strip() or "the session ended unexpectedly"
        super().__init__(f"PostgreSQL refused: {first}.")
        self.code = _sqlstate(first)


class Session:
    """Statements go through `execute`, queries that return one JSON value per row through `rows`."""

    def __init__(self, helper: Helper, database: str) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the session
        self._process = helper.start(_COMMAND, database, stdin=-1, stdout=-1, stderr=self._stderr)

    def execute(self, sql: str) -> None:
        """Run statements and wait until they are done. Raises SqlError."""
        for _ in self._lines(sql):
            pass

    def rows(self, sql: str) -> Iterator[Any]:
        """Run a query whose only column is JSON; yields the decoded values. Raises SqlError.

        Consume it fully before the next statement.
        """
        for line in self._lines(sql):
            yield json.loads(line)

    def value(self, sql: str) -> Any:
        """The one JSON value of a query that returns one row; None when it returns no row or NULL."""
        found = [value for value in self.rows(sql) if value is not None]
        return found[0] if found else None

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        stdout.close()
        self._process.wait()
        self._stderr.close()

    def _lines(self, sql: str) -> Iterator[bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        end = secrets.token_hex(16)
        try:
            stdin.write(f"{sql.rstrip().rstrip(';')};\n\\echo {end}\n".encode())
            stdin.flush()
        except BrokenPipeError:
            raise self._error() from None
        for line in stdout:
            text = line.rstrip(b"\n")
            if text == end.encode():
                return
            # A NULL is an empty line in psql's unaligned output.
            yield text or b"null"
        raise self._error()

    def _error(self) -> SqlError:
        self._process.wait()
        self._stderr.seek(0)
        return SqlError(self._stderr.read().decode(errors="replace"))


@contextlib.contextmanager
def session(helper: Helper, database: str) -> Iterator[Session]:
    """A session with a database, ended with the block."""
    opened = Session(helper, database)
    try:
        yield opened
    finally:
        opened.close()


def literal(text: str) -> str:
    """A string constant of SQL."""
    escaped = text.replace("'", "''")
    return f" E'{escaped.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{escaped}'"


def identifier(name: str) -> str:
    """A quoted identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def _sqlstate(text: str) -> str:
    # VERBOSITY=verbose prints "ERROR:  55P03: canceling statement due to lock timeout", in any language.
    found = re.search(r"\b(?=[A-Z]*[0-9])[0-9A-Z]{5}(?=:)", text)
    return found[0] if found else ""
