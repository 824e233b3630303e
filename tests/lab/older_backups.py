"""Backups by earlier versions of the program, kept in tests/data/older_backups: whatever comes later must
restore them. Each folder there is named after the commit whose program made it, or after what else was older.

    python -m tests.lab.older_backups NAME [IMAGE]     keeps one by the program as it stands here, out of a
                                                       PostgreSQL of another image

Do that whenever the format of anything in a store has changed. The keys in there protect nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .agent_site import Site, site
from .docker import REPOSITORY

KEPT = REPOSITORY / "tests" / "data" / "older_backups"
QUERIES = (
    "SELECT count(*) FROM users",
    "SELECT email, key FROM users ORDER BY id LIMIT 3",
    'SELECT a, b, c, d, e FROM "Odd ""name"" 🎉" ORDER BY e',
    "SELECT id FROM other.things ORDER BY id",
    "SELECT tableoid::regclass, id FROM parted ORDER BY id",
    "SELECT last_value FROM users_id_seq",
    "SELECT datconnlimit FROM pg_database WHERE datname = 'loomio_production'",
    "SELECT rolconnlimit FROM pg_authid WHERE rolname = 'reader'",
)


@dataclass(frozen=True)
class Keys:
    """As much of another site as a new one with its keys needs."""

    identity: str
    signing_key: str


def content(pi: Site) -> dict[str, Any]:
    """What has to come back, as JSON: answers to questions, and every file by its hash."""
    return {"queries": {query: pi.sql(query) for query in QUERIES}, "files": _files(pi)}


def _files(pi: Site) -> list[Any]:
    found = []
    for name, mode, _uid, _gid, *rest in pi.files_text():
        *times, inside = rest
        if isinstance(inside, bytes):
            inside = {"sha256": hashlib.sha256(inside).hexdigest()}
        elif inside is not None:
            inside = {"target": str(inside)}
        # Names are bytes, which JSON has not.
        found.append([os.fsencode(str(name)).decode("latin-1"), mode, times[0] if times else None, inside])
    return found


def keep(directory: Path, image: str | None = None) -> None:
    """Make a small backup with the program as it stands, and keep it with its keys and its content."""
    with (
        tempfile.TemporaryDirectory() as folder,
        site(Path(folder) / "pi", "older", local=_in(folder), image=image) as pi,
    ):
        pi.fill()
        _shrink(pi)
        pi.must("run")
        shutil.copytree(_in(folder), directory / "store", copy_function=shutil.copyfile)
        _write(directory / "expected.json", content(pi))
        _write(directory / "keys.json", {"identity": pi.identity, "signing_key": pi.signing_key})


def _in(folder: str) -> Path:
    return Path(folder) / "disk"


def _shrink(pi: Site) -> None:
    """What is random takes room in the repository for ever."""
    big = pi.uploads / "deep" / "er 🎉" / "with space\nand line"
    modified = big.stat().st_mtime_ns
    big.write_bytes(os.urandom(3000))
    os.utime(big, ns=(1, modified))
    pi.sql("DELETE FROM users WHERE id > 40; UPDATE users SET key = md5(id::text)::uuid")


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    keep(KEPT / sys.argv[1], *sys.argv[2:])
