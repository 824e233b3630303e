"""Where the lab's images come from: pulled where that is possible, built from Debian's packages where not.

Every image that is built here is tagged with a hash of what it is built from, so that the next run finds it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .docker import LabError, docker, exists

HERE = Path(__file__).resolve().parent
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
#: What the stack's compose file asks for, and where the stand-in for it is built.
STACK_IMAGES = {"postgres:17": "postgres", "redis:8": "redis", "loomio/loomio:3.5": "loomio"}


def base_image(release: str) -> str:
    """Return the name of a Debian base image of that release, pulling or building it when absent."""
    name = f"debian:{release}"
    if exists("image", name) or _pulled(name):
        return name
    if not shutil.which("mmdebstrap"):
        raise LabError(f"{name} can neither be pulled nor built here: install mmdebstrap")
    print(f"lab: building {name} from Debian's packages", flush=True)
    archive = subprocess.Popen(
        ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", release, "-"],
        stdout=subprocess.PIPE,
    )
    imported = subprocess.run(
        ["docker", "import", "-", f"{name}-building"], stdin=archive.stdout, capture_output=True
    )
    # A truncated archive may still import: only mmdebstrap's own exit status says that it is whole.
    if archive.wait() != 0 or imported.returncode != 0:
        raise LabError(f"building {name} failed: {imported.stderr.decode(errors='replace')}")
    docker("tag", f"{name}-building", name)
    docker("rmi", f"{name}-building")
    return name


def build(context: Path, name: str, *, dockerfile: Path | None = None, **arguments: str) -> str:
    """Build an image unless one of the same content is there; return its tag."""
    tag = f"loomio-lab/{name}:{_content_hash(context, dockerfile, arguments)}"
    if exists("image", tag):
        return tag
    print(f"lab: building the {name} image", flush=True)
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    options += [f"--build-arg={key}" for key in PROXIES if key in os.environ]
    file = ["-f", str(dockerfile)] if dockerfile else []
    docker("build", "-q", "-t", tag, *options, *file, str(context), timeout=1200)
    return tag


def stack_image(name: str) -> str:
    """Return an image to serve as `name` (such as postgres:17): the real one where it can be had."""
    if exists("image", name) or _pulled(name):
        return name
    base_image("trixie")
    return build(HERE / "images" / STACK_IMAGES[name], STACK_IMAGES[name])


def _pulled(name: str) -> bool:
    try:
        return (
            subprocess.run(["docker", "pull", "-q", name], capture_output=True, timeout=300).returncode == 0
        )
    except subprocess.TimeoutExpired:
        return False


def _content_hash(context: Path, dockerfile: Path | None, arguments: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(arguments.items())).encode())
    files = sorted(path for path in context.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    for path in [*files, *([dockerfile] if dockerfile else [])]:
        digest.update(f"{path.relative_to(HERE)}\0{path.stat().st_mode & 0o777}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
