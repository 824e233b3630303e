"""The lab's way to the Docker engine: the plain client, with errors that show what it said."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

REPOSITORY = Path(__file__).resolve().parents[2]


class LabError(Exception):
    """The lab itself (not the product) cannot go on; the text says why."""


def docker(*arguments: str, input: bytes | None = None, timeout: float = 600) -> str:
    """Run one docker command and return its standard output, stripped.

    Raises LabError with what docker printed when it fails.
    """
    done = subprocess.run(["docker", *arguments], input=input, capture_output=True, timeout=timeout)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise LabError(f"docker {' '.join(arguments[:4])} … failed with {done.returncode}: {said}")
    return done.stdout.decode(errors="replace").strip()


def exists(kind: str, name: str) -> bool:
    """Whether an object (image, container, volume, network) of that name exists."""
    return subprocess.run(["docker", kind, "inspect", name], capture_output=True, timeout=60).returncode == 0


def labelled(kind: str, label: str) -> list[str]:
    """Ids (names for volumes) of all containers, volumes or networks that carry the label."""
    listing: Sequence[str] = {
        "container": ("ps", "-aq"),
        "volume": ("volume", "ls", "-q"),
        "network": ("network", "ls", "-q"),
    }[kind]
    return docker(*listing, "--filter", f"label={label}").split()


def wait_until(
    condition: Callable[[], Found | None], what: str, seconds: float = 60, every: float = 0.2
) -> Found:
    """Poll until the condition holds, and return what it said; raise LabError with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
    return found
