"""Bring objects from this machine into the local store on the Pi."""

import shlex
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.store import StoreFilesFact
from loomio_backup.progress import bytes_text

from .callback import Callback
from .run import complain, own_arguments

#: Where an object lies while it travels: the user's own, and on the disk (their runtime directory is memory).
STAGING = "/var/lib/loomio-pi-stack/incoming"
_SAY_EVERY = 5.0


@dataclass(frozen=True)
class Upload:
    """One object: its name in the store (no path), the file on this machine, its size in bytes."""

    name: str
    file: Path
    size: int


@operation()
def objects_uploaded(
    uploads: tuple[Upload, ...], directory: str, user: str
) -> Generator[PyinfraCommand, None, None]:
    """Make `directory` hold these objects, in their order: what is there with its size stays.

    An object gets its name when all of it is there, so this can be interrupted and repeated. `user` is who
    logs in: SFTP knows no sudo.
    """
    present = host.get_fact(StoreFilesFact, path=directory)
    absent = [upload for upload in uploads if present.get(upload.name) != upload.size]
    if not absent:
        host.noop("every object is there")
        return
    arguments = own_arguments(host)

    def upload_all(state: State, host: Host) -> bool:
        total = sum(upload.size for upload in absent)
        if not _has_room(host, directory, total, arguments):
            return complain(
                host,
                f"{bytes_text(total)} are to be copied, and {directory} has less room than that. Nothing was "
                "copied. Put the copy on a USB disk instead (docs/recovery.md says how).",
            )
        staging = shlex.quote(STAGING)
        make = f"rm -rf {staging} && mkdir -p {staging} && chown {user} {staging} && chmod 0700 {staging}"
        if not _run(host, make, arguments):
            return complain(host, f"{STAGING} could not be made. Nothing was copied.")
        done, said = 0, 0.0
        for number, upload in enumerate(absent, start=1):
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                logger.info(
                    f"{host.print_prefix}copying object {number} of {len(absent)}, {bytes_text(done)} of "
                    f"{bytes_text(total)} are there"
                )
            staged = f"{STAGING}/object"
            if not host.put_file(str(upload.file), staged) or not _run(
                host, _take_in(upload, staged, directory), arguments
            ):
                return complain(
                    host,
                    f"{upload.name} could not be copied. What came before it stays. Run the same command "
                    "again: it goes on from there.",
                )
            done += upload.size
        return _run(host, f"rm -rf {staging}", arguments)

    yield Callback(upload_all)


def _take_in(upload: Upload, staged: str, directory: str) -> str:
    name = shlex.quote(f"{directory}/{upload.name}")
    # Hidden and with this ending no store takes it for an object, and the next writer clears it away.
    partial = shlex.quote(f"{directory}/.{upload.name}.upload.partial")
    return (
        f'test "$(stat -c %s {staged})" = {upload.size} && '
        f"chown root:root {staged} && chmod 0600 {staged} && "
        f"mv -f {staged} {partial} && sync {partial} && mv -f {partial} {name} && "
        f"sync -f {shlex.quote(directory)}"
    )


def _has_room(host: Host, directory: str, needed: int, arguments: dict[str, object]) -> bool:
    script = StringCommand(f"df -PB1 {shlex.quote(directory)} | sed 1d | awk '{{print $4}}'")
    done, output = host.run_shell_command(script, **arguments)
    free = output.stdout_lines[-1].strip() if done and output.stdout_lines else ""
    # The first boot of a card may still be growing its file system: what cannot be told is tried.
    return not free.isdecimal() or int(free) > needed


def _run(host: Host, script: str, arguments: dict[str, object]) -> bool:
    done, _output = host.run_shell_command(StringCommand(script), **arguments)
    return done
