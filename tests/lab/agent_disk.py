"""A small file system of its own, for what happens when there is no room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, kilobytes: int) -> Iterator[Path]:
    """An empty file system of this size, mounted at the new directory `path`; needs root."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot make a file system of its own: {done.stderr}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)
