"""What the tests of stores share: objects with known content, and stores of every kind to try them on."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loomio_backup.catalogue.objects import Digests
from loomio_backup.config import DriveStore
from loomio_backup.stores.drive import DriveFolder
from loomio_backup.stores.patience import Backoff
from tests.lab.drive import DriveEmulator, LabDrive

FAST = Backoff(first=0.01, longest=0.05, tries=5)


@dataclass(frozen=True)
class Sample:
    """A file to be stored, and what it holds."""

    path: Path
    content: bytes
    digests: Digests


def sample(folder: Path, size: int, seed: int = 0) -> Sample:
    """A file of random bytes; the same seed gives the same bytes."""
    content = random.Random(seed).randbytes(size)
    path = folder / f"sample-{size}-{seed}"
    path.write_bytes(content)
    return Sample(path, content, digests_of(content))


def digests_of(content: bytes) -> Digests:
    """As the agent would have written it (what is plain does not matter to a store)."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Digests(len(content), sha256, len(content), sha256, hashlib.md5(content).hexdigest())


class FileMemory:
    """An UploadMemory that survives its process, as the agent's catalogue does. The file is its state."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self) -> str | None:
        """See UploadMemory.recall."""
        return self._path.read_text() if self._path.exists() else None

    def remember(self, address: str | None) -> None:
        """See UploadMemory.remember."""
        if address is None:
            self._path.unlink(missing_ok=True)
        else:
            self._path.write_text(address)


@dataclass
class DriveBench:
    """A running emulator with its back door."""

    emulator: DriveEmulator
    lab: LabDrive

    def settings(self, **more: Any) -> DriveStore:
        return DriveStore(api_root=self.emulator.url, token_uri=self.lab.token_uri, **more)

    def store(self, secret: dict[str, str], **more: Any) -> DriveFolder:
        """The real client against the emulator, with settings `more`, and little patience."""
        return DriveFolder(self.settings(**more), secret, FAST)

    def user_store(self, **more: Any) -> DriveFolder:
        """The default mode: an OAuth user's own Drive, seen through drive.file."""
        return self.store(self.lab.register_user(), **more)

    def shared_drive_store(self, role: str, **more: Any) -> DriveFolder:
        """A service account that has `role` (reader, writer, fileOrganizer, organizer) in a shared drive."""
        secret = self.lab.register_service_account()
        drive_id = self.lab.register_shared_drive("Group", {secret["client_email"]: role})
        return self.store(secret, shared_drive_id=drive_id, **more)

    def names(self) -> list[str]:
        """Names of all files with content in all of Drive, trash included."""
        return sorted(file["name"] for file in self.lab.files() if "md5" in file)
