"""Every Dockerfile of the lab builds with BuildKit too; the classic builder is what the drill uses here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from . import images

pytestmark = pytest.mark.lab
BUILDS = {
    "pi": ("pi_image", None),
    "apt": ("apt_image", None),
    "cloud": (".", "cloud_image/Dockerfile"),
    "postgres": ("images/postgres", None),
    "redis": ("images/redis", None),
    "loomio": ("images/loomio", None),
    "part": ("images/part", None),
}
TRIVIAL = b"FROM debian:trixie\nCMD true\n"


@pytest.fixture(scope="module")
def client() -> str:
    """A docker client on the PATH that builds with BuildKit (newer ones need their buildx plugin for it)."""
    images.base_image("trixie")
    for folder in os.environ["PATH"].split(os.pathsep):
        program = shutil.which("docker", path=folder)
        if program and _build(program, "-", input=TRIVIAL).returncode == 0:
            return program
    pytest.skip("no docker client here builds with BuildKit: the buildx plugin is missing")


def _build(program: str, *arguments: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    command = [program, "build", "-q", *arguments]
    return subprocess.run(command, env=environment, input=input, capture_output=True, timeout=900)


@pytest.mark.parametrize("name", sorted(BUILDS))
def test_dockerfiles_build_with_buildkit(client: str, name: str) -> None:
    folder, dockerfile = BUILDS[name]
    context = images.HERE / folder
    file = str(context / (dockerfile or "Dockerfile"))
    done = _build(client, "--build-arg", "BASE=debian:trixie", "-f", file, str(context))
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert Path(file).read_text().startswith("#"), "a Dockerfile says why it exists"
