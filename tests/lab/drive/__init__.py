"""An emulator of Google Drive's API for the lab and for tests: real HTTP, state on disk, faults on demand.

It exists because a backup that was never stored in, listed from and fetched out of something that behaves
like Drive is a hope. `python -m tests.lab.drive --port P --root DIR` runs it alone;
`DriveEmulator(root).start()` inside a test.
"""

from .client import LabDrive
from .emulator import DriveEmulator

__all__ = ["DriveEmulator", "LabDrive"]
