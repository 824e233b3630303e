"""The images that the stack's `.env` names: what they are, and how they are changed without a moment in which
the file is not whole.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from loomio_backup import docker
from loomio_backup.backup.bundle import parse_env
from loomio_backup.errors import UpdateError
from loomio_backup.progress import say
from loomio_backup.state import sync_directory

LOOMIO, POSTGRES, REDIS = "LOOMIO_IMAGE", "POSTGRES_IMAGE", "REDIS_IMAGE"
VARIABLES = (LOOMIO, POSTGRES, REDIS)
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*")


def named(env_file: Path) -> dict[str, str | None]:
    """What `.env` names; None where it leaves the image to the compose file."""
    try:
        found = parse_env(env_file.read_text(encoding="utf-8", errors="surrogateescape"))
    except FileNotFoundError:
        raise UpdateError(
            f"{env_file} is not there, so nothing was updated. Set the stack up first: loomio-pi deploy setup"
        ) from None
    return {name: found.get(name) or None for name in VARIABLES}


def write(env_file: Path, images: Mapping[str, str | None]) -> None:
    """Let `.env` name these images; every other line stays as it is, and so do its owner and mode."""
    status = env_file.stat()
    lines = []
    left = {name: image for name, image in images.items() if image is not None}
    for line in env_file.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        name = line.partition("=")[0].removeprefix("export ").strip()
        if name not in images:
            lines.append(line)
        elif name in left:
            lines.append(f"{name}={left.pop(name)}")
    lines += [f"{name}={image}" for name, image in left.items()]
    temporary = env_file.with_name(f"{env_file.name}.update")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join(lines) + "\n")
        os.fchown(file.fileno(), status.st_uid, status.st_gid)
        os.fchmod(file.fileno(), status.st_mode & 0o7777)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(env_file)
    sync_directory(env_file.parent)


def require_reference(image: str) -> str:
    """The same, if it can name an image. Raises UpdateError."""
    if not _REFERENCE.fullmatch(image):
        raise UpdateError(f"{image!r} cannot be the name of an image. Nothing was changed.")
    return image


def had(image: str) -> str:
    """The id of an image, which is fetched when it is absent. Raises UpdateError when it cannot be had."""
    try:
        return _id(image)
    except docker.DockerError:
        say(f"fetching {image}")
    try:
        docker.docker("pull", "--quiet", image)
    except docker.DockerError as error:
        raise UpdateError(
            f"the image {image} cannot be had: {error.said}. Nothing was changed, and Loomio runs as before. "
            "Is its name right, and is there one for this Pi's architecture? Then run the same again."
        ) from error
    return _id(image)


def _id(image: str) -> str:
    return docker.docker("image", "inspect", "--format", "{{.Id}}", image)


def postgres_says(image_id: str) -> str:
    """What the server program of an image prints as its version."""
    return docker.docker(
        "run", "--rm", "--network", "none", "--entrypoint", "postgres", image_id, "--version"
    )
