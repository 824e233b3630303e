"""A folder on a disk that may not be plugged in."""

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.facts.disk import FolderOnDiskFact

from .reasons import because


@operation()
def folder_on_disk(path: str, mount_point: str) -> Generator[StringCommand, None, None]:
    """Make the folder `path` (0700) on the disk that is mounted at `mount_point`.

    Without the disk nothing is done: what would be made is a folder on the SD card. Its mode is not watched:
    not every file system has one.
    """
    state = host.get_fact(FolderOnDiskFact, path=path, mount_point=mount_point)
    if state == "absent":
        because(f"{path} is missing")
        yield StringCommand(f"mkdir -p -m 0700 {shlex.quote(path)}")
    elif state == "present":
        host.noop(f"{path} is there")
    else:
        host.noop(f"no disk is mounted at {mount_point}")
