"""What the file part of a backup costs when nothing changed, and when a hundredth of the files did."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from loomio_backup.catalogue.manifest import Manifest
from tests.faults.writers_series import manifest_of
from tests.lab.agent_site import Site, site

from .figures import tell
from .sources import fill_files, write_attachment

UNCHANGED_SECONDS = 10.0
"""What the file part may take with nothing changed, at 100,000 files."""
TIME_SHARE = 0.1
BYTES_SHARE = 1.1
_FILE_PART = ("files", "files_again", "index")


@dataclass(frozen=True)
class Increments:
    """Seconds of the file part (both passes and the index). Bytes: of the files, of those that changed, of
    the new packs of the third backup, and of its index.
    """

    files: int
    file_bytes: int
    first_seconds: float
    unchanged_seconds: float
    unchanged_packs: int
    unchanged_index_is_shared: bool
    changed_files: int
    changed_bytes: int
    changed_seconds: float
    new_pack_bytes: int
    index_bytes: int

    @property
    def time_share(self) -> float:
        """Time of the file part after changes, compared with the first one's."""
        return round(self.changed_seconds / self.first_seconds, 3)

    @property
    def bytes_share(self) -> float:
        """New packs compared with what changed."""
        return round(self.new_pack_bytes / self.changed_bytes, 3)

    @property
    def unchanged_within_limits(self) -> bool:
        """Whether next to nothing happens when nothing changed."""
        quick = self.unchanged_seconds < UNCHANGED_SECONDS
        return quick and self.unchanged_packs == 0 and self.unchanged_index_is_shared

    @property
    def bytes_within_limits(self) -> bool:
        """Whether what travels is what changed."""
        return self.bytes_share <= BYTES_SHARE

    @property
    def within_limits(self) -> bool:
        """Whether cost follows what changed, in every respect."""
        quick = self.time_share <= TIME_SHARE
        return quick and self.bytes_within_limits and self.unchanged_within_limits


def measure_increments(root: Path, files: int, file_bytes: int = 100_000) -> Increments:
    """Three backups of so many files of about `file_bytes` each."""
    with site(root / "pi", f"bench-increments-{os.getpid()}", local=root / "disk") as pi:
        pi.fill()
        fill_files(pi, files, file_bytes)
        first = _backup(pi)
        unchanged = _backup(pi)
        numbers = Random(2).sample(range(files), max(1, files // 100))
        changed_bytes = sum(write_attachment(pi, number, file_bytes, version=1) for number in numbers)
        changed = _backup(pi)
    index = changed.only("index")
    found = Increments(
        files=first.app_data.files,
        file_bytes=first.app_data.bytes,
        first_seconds=_seconds(first),
        unchanged_seconds=_seconds(unchanged),
        unchanged_packs=len(unchanged.packs().keys() - first.packs().keys()),
        unchanged_index_is_shared=unchanged.only("index") == first.only("index"),
        changed_files=len(numbers),
        changed_bytes=changed_bytes,
        changed_seconds=_seconds(changed),
        new_pack_bytes=sum(
            pack.stored_size for name, pack in changed.packs().items() if name not in unchanged.packs()
        ),
        index_bytes=index.stored_size,
    )
    tell("increments", found)
    return found


def _backup(pi: Site) -> Manifest:
    name = re.findall(r"backup (loomio_backup_\w+) is complete", pi.must("run"))[0]
    return manifest_of(pi, name)


def _seconds(manifest: Manifest) -> float:
    return round(sum(manifest.durations[phase] for phase in _FILE_PART), 3)
