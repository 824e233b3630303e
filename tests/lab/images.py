"""Where the lab's images come from: pulled where that is possible, built from Debian's packages where not.

Every image that is built here is tagged with a hash of what it is built from, so that the next run finds it.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .docker import LabError, docker, exists

HERE = Path(__file__).resolve().parent
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
#: What the stack's compose file asks for, and where the stand-in for it is built.
STACK_IMAGES = {"postgres:17": "postgres", "redis:8": "redis", "loomio/loomio:3.5": "loomio"}
#: What the optional parts ask for, likewise. Netdata is Debian's own.
PART_IMAGES = {
    "tunnel": "cloudflare/cloudflared:2025.11.1",
    "netdata": "netdata/netdata:v2.8",
    "adminer": "adminer:5",
    "channels": "loomio/loomio_channel_server:latest",
    "mail_in": "loomio/haraka-rails-docker:stable",
}


@functools.cache
def base_image(release: str) -> str:
    """Return the name of a Debian base image of that release, pulling or building it when absent."""
    with _one_at_a_time(f"debian-{release}"):
        return _base_image(f"debian:{release}", release)


def _base_image(name: str, release: str) -> str:
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


def build(context: Path, name: str, *, parts: Sequence[str] = (".",), **arguments: str) -> str:
    """Build an image unless one of the same content is there; return its tag.

    `parts` are what of the context counts; the Dockerfile stands in the part NAME_image, or in the context.
    """
    tag = f"loomio-lab/{name}:{_content_hash(context, parts, arguments)}"
    with _one_at_a_time(f"build-{name}"):
        if not exists("image", tag):
            _build(context, name, tag, arguments)
    return tag


def _build(context: Path, name: str, tag: str, arguments: Mapping[str, str]) -> None:
    print(f"lab: building the {name} image", flush=True)
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    options += [f"--build-arg={key}" for key in PROXIES if key in os.environ]
    inner = context / f"{name}_image" / "Dockerfile"
    file = inner if inner.exists() else context / "Dockerfile"
    docker("build", "-q", "-t", tag, *options, "-f", str(file), str(context), timeout=1200)


@functools.cache
def stack_image(name: str) -> str:
    """Return an image to serve as `name` (such as postgres:17): the real one where it can be had.

    Loomio is always the stand-in: only that has the generator's schema, and the ledger that a drill writes.
    """
    if STACK_IMAGES[name] != "loomio" and (exists("image", name) or _pulled(name)):
        return name
    base_image("trixie")
    return build(HERE / "images" / STACK_IMAGES[name], STACK_IMAGES[name])


@functools.cache
def part_image(part: str) -> str:
    """Return an image to serve as the one of an optional part."""
    if part == "netdata":
        return build(HERE, "netdata", parts=["netdata_image"], BASE=base_image("bookworm"))
    base_image("trixie")
    return build(HERE / "images" / "part", "part")


@contextmanager
def _one_at_a_time(what: str) -> Iterator[None]:
    """Tests run in several processes: the second one finds what the first one has made."""
    path = Path(tempfile.gettempdir()) / f"loomio-lab-{os.getuid()}-{what}.lock"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pulled(name: str) -> bool:
    try:
        return (
            subprocess.run(["docker", "pull", "-q", name], capture_output=True, timeout=300).returncode == 0
        )
    except subprocess.TimeoutExpired:
        return False


def _content_hash(context: Path, parts: Sequence[str], arguments: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(arguments.items())).encode())
    for part in parts:
        path = context / part
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(context)}\0{file.stat().st_mode & 0o777}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
