"""What a program and everything it started take of the memory: the sum of their proportional shares (PSS)."""

from __future__ import annotations

import subprocess
import time

import psutil

_EVERY = 0.05  # seconds


def peak_pss(process: subprocess.Popen[str]) -> tuple[int, list[tuple[str, int]]]:
    """Watch a process until it ends: the highest sum in bytes, and who held what then.

    Programs in containers are children of the container's engine, not of ours, so they are not counted.
    """
    highest: tuple[int, list[tuple[str, int]]] = (0, [])
    while process.poll() is None:
        shares = _shares(process.pid)
        total = sum(size for _, size in shares)
        if total > highest[0]:
            highest = (total, shares)
        time.sleep(_EVERY)
    return highest


def _shares(pid: int) -> list[tuple[str, int]]:
    found = []
    try:
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    for process in processes:
        try:
            with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123
                for line in file:
                    if line.startswith("Pss:"):
                        found.append((process.name(), int(line.split()[1]) * 1024))
        except (OSError, psutil.NoSuchProcess):
            continue
    return found
