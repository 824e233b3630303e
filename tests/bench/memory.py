"""How much memory the agent takes, with all that it starts: it must not depend on the size of the data."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from loomio_backup.config import DriveStore
from tests.lab.agent_memory import peak_pss
from tests.lab.agent_site import Site, site
from tests.lab.drive import DriveEmulator, LabDrive

from .figures import tell
from .sources import fill_database, fill_files

LIMIT = 150_000_000
"""Bytes, in both directions, at any size."""
GROWTH = 0.1
"""What doubling the data may add or take, at most."""
_FILE_BYTES = 5_000

Holders = list[tuple[str, int]]


@dataclass(frozen=True)
class Memory:
    """Peaks in bytes, and what held them then."""

    database_bytes: int
    files: int
    run: int
    run_holders: Holders
    next_run: int
    next_run_holders: Holders
    restore: int
    restore_holders: Holders

    @property
    def peaks(self) -> tuple[int, int, int]:
        """Of the first backup, of one with nothing changed, of a restore."""
        return self.run, self.next_run, self.restore

    @property
    def within_limits(self) -> bool:
        """Whether it is as small as it has to be."""
        return all(0 < peak <= LIMIT for peak in self.peaks)

    def same_as(self, other: Memory) -> bool:
        """Whether two sizes of data take the same, so to say."""
        pairs = zip(self.peaks, other.peaks, strict=True)
        return all(abs(one - two) <= GROWTH * max(one, two) for one, two in pairs)


def measure_memory(root: Path, database_mb: int, files: int) -> Memory:
    """Back up a database of about so many MB and so many files to a folder and to Drive, and restore from
    Drive.
    """
    with DriveEmulator(root / "drive") as emulator:
        lab = LabDrive(emulator.url)
        options = {
            "drive": DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            "drive_secret": json.dumps(lab.register_user()),
        }
        with site(root / "pi", f"bench-memory-{os.getpid()}", local=root / "disk", **options) as pi:
            size = fill_database(pi, database_mb)
            fill_files(pi, files, _FILE_BYTES)
            first, again = _peak(pi, "run"), _peak(pi, "run")
            keys = pi
        with site(root / "fresh", f"bench-memory2-{os.getpid()}", keys=keys, **options) as fresh:
            restore = _peak(fresh, "restore", "--newest", "--store", "drive", "--unattended")
    found = Memory(size, files, *first, *again, *restore)
    tell("memory", found)
    return found


def _peak(pi: Site, *arguments: str) -> tuple[int, Holders]:
    process = pi.start_agent(*arguments)
    # Its lines go through a pipe, which holds more of them than there are.
    peak, holders = peak_pss(process)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    assert process.returncode == 0, output
    return peak, holders
