"""Docker's daemon.json, and the restart that a change of it needs, as one step that cannot stop half-way."""

import io
import json
from collections.abc import Generator, Mapping
from typing import Any

from pyinfra.api.command import FileUploadCommand, PyinfraCommand, StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.files import FileContents

from .reasons import because
from .run import own_arguments

PATH = "/etc/docker/daemon.json"


@operation()
def docker_config(settings: Mapping[str, Any]) -> Generator[PyinfraCommand, None, None]:
    """Make daemon.json hold these settings. A running engine validates the new file first, and is restarted
    with it.

    What else somebody has set there (such as data-root, for a disk) is kept: without it the engine could not
    find its data. Raises OperationError where the file is no JSON.
    """
    lines = host.get_fact(FileContents, path=PATH)
    present = _parsed("\n".join(lines)) if lines else {}
    wanted = {**present, **settings}
    if wanted == present:
        host.noop(f"{PATH} is as it should be")
        return
    because(f"{PATH}: not as declared: {', '.join(_differing(present, wanted))}")
    fresh = f"{PATH}.new"
    yield StringCommand("install -d -m 0755 /etc/docker")
    temporary = host.get_temp_filename(PATH, temp_directory=own_arguments(host).get("_temp_dir"))
    content = io.StringIO(json.dumps(wanted, indent=2) + "\n")
    yield FileUploadCommand(content, fresh, remote_temp_filename=temporary)
    yield StringCommand(
        f"chmod 0644 {fresh} && "
        f"if command -v dockerd > /dev/null; then dockerd --validate --config-file {fresh}; fi && "
        # One command: an interruption between the rename and the restart would go unnoticed for ever.
        f"mv -f {fresh} {PATH} && "
        "if systemctl is-active --quiet docker.service; then systemctl restart docker.service; fi"
    )


def _differing(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in wanted if present.get(name) != wanted[name])


def _parsed(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise OperationError(
            f"{host.name}: {PATH} is no JSON object, so Docker cannot read it either. It was left as it is. "
            "Correct it or move it away on the Pi, and run this again."
        )
    return document
