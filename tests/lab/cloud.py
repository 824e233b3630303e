"""The cloud beside the Pi, which survives its death: Drive, image registry, apt and git servers, a sink."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import images
from .docker import REPOSITORY, LabError, docker, wait_until
from .drive.client import LabDrive
from .pi import Release

#: Where the Pi finds each service, by the cloud's names on the lab network.
DRIVE_URL = "http://cloud:8080/"
REGISTRY_URL = "http://cloud:5000"
REPOSITORY_URL = "git://cloud/loomio-pi-stack"
APT_URL = "http://apt"
#: Where alerts go, as Apprise writes the address of a plain web hook, and where the dead man's switch is;
#: each lab adds a secret of its own.
ALERTS_URL = "json://cloud:8025/alerts-"
PING_URL = "http://cloud:8025/ping-"
STACK_TAG = "lab"
#: Where the emulator keeps its state in the cloud container (cloud_image/start.sh).
DRIVE_ROOT = "/srv/drive"


@dataclass(frozen=True)
class Cloud:
    """The running services. Ports are on this machine's 127.0.0.1."""

    name: str
    drive_port: int
    registry_port: int
    sink_port: int

    @property
    def drive(self) -> LabDrive:
        """The Drive emulator's back door."""
        return LabDrive(f"http://127.0.0.1:{self.drive_port}")

    def stored(self) -> dict[str, dict[str, Any]]:
        """What Drive holds now, by name: the emulator's listing, with the SHA-256 of the bytes themselves."""
        files = [file for file in self.drive.files() if "blob" in file and not file["trashed"]]
        blobs = sorted({file["blob"] for file in files})
        sums = docker("exec", "-w", f"{DRIVE_ROOT}/blobs", self.name, "sha256sum", *blobs) if blobs else ""
        hashes = {blob: digest for digest, blob in (line.split() for line in sums.splitlines())}
        return {file["name"]: {**file, "sha256": hashes[file["blob"]]} for file in files}

    def kept(self, what: str) -> list[dict[str, Any]]:
        """What the sink was sent: `mail` or `hooks`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.sink_port}/{what}", timeout=60) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def push(self, image: str, name: str) -> None:
        """Put a local image into the registry, as Docker Hub would have it under `name`."""
        path = name if "/" in name else f"library/{name}"
        target = f"127.0.0.1:{self.registry_port}/{path}"
        docker("tag", image, target)
        try:
            docker("push", "-q", target)
        finally:
            docker("rmi", target)

    def serve_this_repository(self) -> str:
        """Serve the working tree as the stack's repository, with one commit and one tag; return the commit.

        The working tree and not HEAD, so that a drill rehearses what stands here.
        """
        return self.serve(REPOSITORY, REPOSITORY_URL)

    def serve(self, folder: Path, address: str) -> str:
        """Serve a folder as a repository at an address of the cloud's git server, likewise."""
        name = address.rpartition("/")[2]
        with tempfile.TemporaryDirectory() as place:
            bare = Path(place) / name
            commit = _snapshot(folder, bare)
            docker("cp", str(bare), f"{self.name}:/srv/git/{name}")
            docker("exec", self.name, "chown", "-R", "root:root", "/srv/git")
        return commit


def start(name: str, *, network: str, label: str) -> Cloud:
    """Start the cloud's main container on the network and wait until each of its services answers."""
    base = images.base_image("trixie")
    image = images.build(images.HERE, "cloud", parts=["__init__.py", "cloud_image", "drive"], BASE=base)
    published = [f"--publish=127.0.0.1::{port}" for port in (8080, 5000, 8025)]
    docker(
        *("run", "-d", "--init", "--name", name, "--label", label, "--network", network),
        *("--network-alias", "cloud", *published, image),
    )
    ports = {port: _port(name, port) for port in (8080, 5000, 8025)}
    for port, path in ((8080, "/_lab/files"), (5000, "/v2/"), (8025, "/mail")):
        wait_until(lambda url=f"http://127.0.0.1:{ports[port]}{path}": _answers(url), f"cloud port {port}")  # type: ignore[misc]
    return Cloud(name, ports[8080], ports[5000], ports[8025])


@dataclass(frozen=True)
class AptRepository:
    """The stand-in for Docker's apt repository: its address for the Pi, its key file and fingerprint."""

    url: str
    key: Path
    fingerprint: str


def start_apt(name: str, release: Release, *, network: str, label: str, folder: Path) -> AptRepository:
    """Serve a signed apt repository with Docker's package names; its key is put into `folder`."""
    images.base_image("trixie")
    image = images.build(images.HERE / "apt_image", f"apt-{release}", BASE=images.base_image(release))
    docker(
        *("run", "-d", "--init", "--name", name, "--label", label, "--network", network),
        *("--network-alias", "apt", image),
    )
    key = folder / "docker-lab.asc"
    docker("cp", f"{name}:/srv/key.asc", str(key))
    return AptRepository(APT_URL, key, docker("exec", name, "cat", "/srv/fingerprint"))


def _port(container: str, port: int) -> int:
    return int(docker("port", container, f"{port}/tcp").splitlines()[0].rpartition(":")[2])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _snapshot(folder: Path, bare: Path) -> str:
    environment = {
        **os.environ,
        "GIT_DIR": str(bare),
        "GIT_WORK_TREE": str(folder),
        **{f"GIT_{who}_{what}": "lab" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        **{f"GIT_{who}_DATE": "2026-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")},
    }

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], env=environment, cwd=folder, capture_output=True)
        if done.returncode != 0:
            raise LabError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode().strip()

    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    git("add", "-A", ".")
    commit = git("commit-tree", "-m", "The stack, as it stands here", git("write-tree"))
    git("update-ref", "refs/heads/main", commit)
    git("update-ref", f"refs/tags/{STACK_TAG}", commit)
    return commit
