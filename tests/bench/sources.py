"""Databases and trees of files of any size, in little time."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.lab.agent_site import DATABASE, USER, Site
from tests.lab.data import Spec, write_sql

_SCHEMA = Path(__file__).parents[1] / "lab" / "images" / "loomio" / "standin" / "schema.sql"
SEED_MB = 40
"""What the generator makes; the database copies it where more is wanted."""
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
_SIZE = "SELECT pg_database_size(current_database())"
_NOISE = Random(1).randbytes(32 << 20)


def fill_database(pi: Site, megabytes: int) -> int:
    """About so many MB of rows like a Loomio's: made once, then copied by the database itself. Returns the
    size of the database in bytes.
    """
    pi.sql(_SCHEMA.read_text())
    psql = ["docker", "exec", "-i", pi.container, "psql", "-X", "-q", "-o", "/dev/null", "-U", USER, DATABASE]
    with subprocess.Popen(psql, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        write_sql(Spec(seed=9, db_mb=min(SEED_MB, megabytes), files_mb=1), process.stdin)
        process.stdin.close()
        assert process.wait() == 0
    tables = pi.sql(_TABLES).split()
    for number in range(2, megabytes // SEED_MB + 1):
        pi.sql("".join(f"CREATE TABLE {name}_{number} AS TABLE {name};\n" for name in tables))
    pi.sql("VACUUM ANALYZE")
    return int(pi.sql(_SIZE))


def grow(sql: Callable[[str], str], megabytes: int) -> int:
    """Copy every table with its indexes until the database takes so many MB on the disk, indexes included,
    as a Loomio's does. Returns its size in bytes.
    """
    tables, number = sql(_TABLES).split(), 1
    while (size := int(sql(_SIZE))) < megabytes * 1_000_000:
        number += 1
        sql(
            "".join(
                f"CREATE TABLE {name}_{number} (LIKE {name} INCLUDING ALL);\n"
                f"INSERT INTO {name}_{number} OVERRIDING SYSTEM VALUE SELECT * FROM {name};\n"
                for name in tables
            )
        )
    sql("VACUUM ANALYZE")
    return size


def fill_files(pi: Site, count: int, size: int) -> None:
    """So many attachments of about so many bytes each, placed as ActiveStorage does."""
    for number in range(count):
        write_attachment(pi, number, size, version=0)


def write_attachment(pi: Site, number: int, size: int, version: int) -> int:
    """Write one of them anew; returns its size. Content does not compress, as images and PDFs do not."""
    key = hashlib.sha256(b"%d" % number).hexdigest()[:28]
    place = pi.storage / key[:2] / key[2:4]
    place.mkdir(parents=True, exist_ok=True)
    draw = Random(f"{number} {version}")
    length = draw.randrange(size // 2, size + size // 2 + 1)
    content = b"".join(
        _NOISE[start : start + (1 << 20)]
        for start in (draw.randrange(len(_NOISE) - (1 << 20)) for _ in range(length // (1 << 20) + 1))
    )
    (place / key).write_bytes(content[:length])
    return length
