"""Prints what lies below some directories, one JSON object a line: python3 walk.py NAME=DIRECTORY…

Runs on the Pi too, fed to `python3 -` through its standard input, so it is one file and needs only Debian's
python3. Paths start with NAME. Keys: path, type, size, sha256, md5, mode, uid, gid, mtime (whole seconds),
target.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def walk(name: str, directory: str) -> Iterator[dict[str, Any]]:
    """Every entry below `directory`, not itself, parents first. A directory that is missing is an error."""
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        path = f"{name}/{entry.name}"
        try:
            yield _facts(path, entry.path)
        except FileNotFoundError:
            continue  # A writer has renamed its temporary file in the meantime.
        if entry.is_dir(follow_symlinks=False):
            yield from walk(path, entry.path)


def _facts(path: str, place: str) -> dict[str, Any]:
    found = os.lstat(place)
    facts: dict[str, Any] = {
        "path": path,
        "type": "other",
        "size": 0,
        "sha256": None,
        "md5": None,
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "mtime": found.st_mtime_ns // 1_000_000_000,
        "target": None,
    }
    if stat.S_ISDIR(found.st_mode):
        facts["type"] = "directory"
    elif stat.S_ISLNK(found.st_mode):
        facts["type"] = "symlink"
        facts["target"] = os.readlink(place)  # noqa: PTH115 (a Path would normalise it)
    elif stat.S_ISREG(found.st_mode):
        facts["type"] = "file"
        facts["size"], facts["sha256"], facts["md5"] = _hashes(place)
    return facts


def _hashes(place: str) -> tuple[int, str, str]:
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with Path(place).open("rb") as source:
        while data := source.read(1024 * 1024):
            sha256.update(data)
            md5.update(data)
            size += len(data)
    return size, sha256.hexdigest(), md5.hexdigest()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        root_name, _, root = argument.partition("=")
        for line in walk(root_name, root):
            print(json.dumps(line))
