"""Whether a disk is plugged in, and a folder on it."""

import shlex
from typing import Literal

from pyinfra.api.facts import FactBase


class FolderOnDiskFact(FactBase[Literal["unmounted", "absent", "present"]]):
    """The state of the folder `path` on the disk that belongs at `mount_point`."""

    @staticmethod
    def default() -> Literal["unmounted", "absent", "present"]:
        return "unmounted"

    def command(self, path: str, mount_point: str) -> str:
        return (
            f"if ! mountpoint -q {shlex.quote(mount_point)}; then echo unmounted; "
            f"elif test -d {shlex.quote(path)}; then echo present; else echo absent; fi"
        )

    def process(self, output: list[str]) -> Literal["unmounted", "absent", "present"]:
        word = output[-1]
        return word if word in ("absent", "present") else "unmounted"  # type: ignore[return-value]
