"""Which version this image pretends to be, and how well it takes over what an earlier one left.

`well`: its migration succeeds. `breaks`: the migration ends half-way, after it has changed rows and files for
good. `mute`: it migrates, and then never answers. `hangs`: the migration never ends.
"""

import os
import time
from pathlib import Path
from typing import Any

RELEASE = os.environ.get("STANDIN_RELEASE", "3.5.0")
CHARACTER = os.environ.get("STANDIN_CHARACTER", "well")
_FIRST = "3.5.0"
"""The release that the schema is of."""
_MIGRATION = f"2099{RELEASE.replace('.', '').ljust(10, '0')}"
_STORAGE = Path("/loomio/storage")


def is_pending(connection: Any) -> bool:
    """Whether this release still has to migrate the database."""
    row = connection.execute(
        "SELECT count(*) FROM schema_migrations WHERE version = %s", [_MIGRATION]
    ).fetchone()
    return RELEASE != _FIRST and row[0] == 0


def migrate(connection: Any) -> None:
    """Bring the database of an earlier release up to this one's."""
    connection.execute("CREATE TABLE lab_releases (release text)")
    connection.execute("INSERT INTO lab_releases VALUES (%s)", [RELEASE])
    if CHARACTER == "breaks":
        connection.execute("DELETE FROM users WHERE id % 2 = 0")
        _meddle()
        raise SystemExit("rake aborted! StandardError: PG::UndefinedColumn: half of it is done")
    while CHARACTER == "hangs":
        _meddle()
        time.sleep(1)
    connection.execute("ALTER TABLE users ADD COLUMN lab_release text")
    connection.execute("UPDATE users SET lab_release = %s", [RELEASE])
    connection.execute("INSERT INTO schema_migrations VALUES (%s)", [_MIGRATION])


def _meddle() -> None:
    """Remove a file, replace another, add a third."""
    found = sorted(path for path in _STORAGE.rglob("*") if path.is_file() and ".loomio-" not in str(path))
    if len(found) > 1:
        found[0].unlink()
        found[1].unlink()
        found[1].write_bytes(b"replaced")
    (_STORAGE / "added").write_bytes(b"by a release that fails")
