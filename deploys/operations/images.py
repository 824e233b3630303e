"""Is there an image for this processor, of every one that is needed? Asked before anything is pulled."""

import json
import shlex
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.compose import ComposeStateFact

from . import image_platforms
from .callback import Callback
from .reasons import only_waits
from .run import ask, complain, own_arguments

_PROGRAM = Path(image_platforms.__file__)


@operation()
def images_exist(
    directory: str,
    project: str,
    record: str,
    architecture: str,
    mirrors: Sequence[str],
    insecure: Sequence[str],
) -> Generator[Callback, None, None]:
    """Ask the registries whether every image that is not here yet exists for `architecture` (as Debian names
    it). What no registry answers for is left to the pull.
    """
    where = {"directory": directory, "project": project, "record": record}
    found = host.get_fact(ComposeStateFact, **where)
    if found is not None and not found.missing_images():
        host.noop("all images are here")
        return
    only_waits()
    arguments = own_arguments(host)

    def look(state: State, host: Host) -> bool:
        now = host.get_fact(ComposeStateFact, **where, **arguments)
        images = now.missing_images() if now else []
        if not images:
            return True
        asked = json.dumps({"images": images, "mirrors": list(mirrors), "insecure": list(insecure)})
        command = f"python3 - {shlex.quote(asked)}"
        done, output = ask(host, command, stdin=_PROGRAM.read_text(encoding="utf-8"), **arguments)
        if not done:
            return complain(host, f"The registries could not be asked for the images: {output.stderr}")
        answers = [json.loads(line) for line in output.stdout_lines]
        for doubt in doubts(answers):
            logger.warning(f"{host.print_prefix}{doubt}")
        problems = objections(answers, architecture)
        return complain(host, " ".join([*problems, _NOTHING])) if problems else True

    yield Callback(look)


_NOTHING = (
    "Nothing was pulled or started. Name another image in the settings (stack.images), or pull it by "
    "hand and set docker: {check_images: false} if you know better."
)


def objections(answers: Sequence[dict[str, Any]], architecture: str) -> list[str]:
    """Sentences about images that cannot run here."""
    found = []
    for answer in answers:
        if answer["absent"]:
            found.append(f"There is no image {answer['image']}: {answer['problem']}.")
        elif answer["architectures"] is not None and architecture not in answer["architectures"]:
            has = ", ".join(answer["architectures"])
            found.append(f"The image {answer['image']} is for {has}, and this Pi is {architecture}.")
    return found


def doubts(answers: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences about images that no registry answers for."""
    return [
        f"Whether {answer['image']} exists for this Pi is not known: {answer['problem']}. The pull "
        "will show it."
        for answer in answers
        if answer["architectures"] is None and not answer["absent"]
    ]
