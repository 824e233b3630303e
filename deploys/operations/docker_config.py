"""Docker's daemon.json, and the restart that a change of it needs, as one step that cannot stop half-way."""

import io
from collections.abc import Generator

from pyinfra.api.command import FileUploadCommand, PyinfraCommand, StringCommand
from pyinfra.api.operation import operation
from pyinfra.api.util import get_file_sha1
from pyinfra.context import host
from pyinfra.facts.files import File, Sha1File

from .run import own_arguments

PATH = "/etc/docker/daemon.json"


@operation()
def docker_config(content: str) -> Generator[PyinfraCommand, None, None]:
    """Make daemon.json hold `content`. A running engine validates it first, and is restarted with it."""
    present = host.get_fact(File, path=PATH)
    wanted = io.StringIO(content)
    if present and host.get_fact(Sha1File, path=PATH) == get_file_sha1(wanted):
        host.noop(f"{PATH} is as it should be")
        return
    fresh = f"{PATH}.new"
    yield StringCommand("install -d -m 0755 /etc/docker")
    temporary = host.get_temp_filename(PATH, temp_directory=own_arguments(host).get("_temp_dir"))
    yield FileUploadCommand(wanted, fresh, remote_temp_filename=temporary)
    yield StringCommand(
        f"chmod 0644 {fresh} && "
        f"if command -v dockerd > /dev/null; then dockerd --validate --config-file {fresh}; fi && "
        # One command: an interruption between the rename and the restart would go unnoticed for ever.
        f"mv -f {fresh} {PATH} && "
        "if systemctl is-active --quiet docker.service; then systemctl restart docker.service; fi"
    )
