"""One lab: a network with a cloud and, one after the other, the Pis that live and die on it."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from . import cloud, combinations, images, pi
from .docker import LabError, docker, labelled

LABEL = "org.loomio-pi-stack.lab"


class Lab:
    """A context: everything that it starts carries its label and is gone afterwards, unless `keep`.

    `folder` is the operator's: the SSH key and the apt key are put there.
    """

    def __init__(self, folder: Path, release: pi.Release, *, sudo_password: bool, keep: bool = False) -> None:
        self.name = f"loomio-lab-{secrets.token_hex(3)}"
        self.label = f"{LABEL}={self.name}"
        self.folder = folder
        self.release = release
        # One password for every Pi: the operator flashes the new card with the settings of the old.
        self.sudo_password = secrets.token_urlsafe(18) if sudo_password else None
        self.keep = keep
        self.ssh_key = folder / "id_ed25519"
        self._pis = 0

    def __enter__(self) -> Lab:
        try:
            self._make_ssh_key()
            self._make_network()
            self.cloud = cloud.start(f"{self.name}-cloud", network=self.name, label=self.label)
            self.apt = cloud.start_apt(
                f"{self.name}-apt", self.release, network=self.name, label=self.label, folder=self.folder
            )
            self.commit = self.cloud.serve_this_repository()
            for image in images.STACK_IMAGES:
                self.cloud.push(images.stack_image(image), image)
            self.offer_parts(combinations.LIVES[self.release].parts)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.keep:
            print(f"lab: kept. To remove it: .venv/bin/python -m tests.lab remove {self.name}", flush=True)
        else:
            remove(self.name)

    def offer_parts(self, parts: Iterable[str]) -> None:
        """Put the images of these optional parts into the registry."""
        for part in parts:
            self.cloud.push(images.part_image(part), images.PART_IMAGES[part])

    def new_pi(self, *, port: int | None = None) -> pi.Pi:
        """Boot a freshly flashed Pi; `port` asks for an SSH port, as a new Pi has the old one's address."""
        self._pis += 1
        return pi.start(
            f"{self.name}-pi{self._pis}",
            self.release,
            network=self.name,
            label=self.label,
            key=self.ssh_key.with_suffix(".pub"),
            sudo_password=self.sudo_password,
            port=port,
        )

    def _make_ssh_key(self) -> None:
        if not self.ssh_key.exists():
            file = str(self.ssh_key)
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", file], check=True
            )

    def _make_network(self) -> None:
        # Subnets that an engine inside a Pi would never pick for itself (it takes 172.17 and up, 192.168).
        for third in range(1, 255):
            subnet = f"10.213.{third}.0/24"
            options = ["--label", self.label, "--subnet", subnet]
            try:
                docker("network", "create", *options, self.name)
            except LabError as error:
                if "overlap" not in str(error).lower():
                    raise
            else:
                return
        raise LabError("no free subnet in 10.213.0.0/16: remove old labs (python -m tests.lab remove all)")


def remove(name: str | None) -> Sequence[str]:
    """Remove all containers, volumes and networks of one lab, or of every lab (None); return their ids."""
    label = LABEL if name is None else f"{LABEL}={name}"
    found = {kind: labelled(kind, label) for kind in ("container", "volume", "network")}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda container: docker("rm", "-f", "-v", container), found["container"]))
    for kind in ("volume", "network"):
        for item in found[kind]:
            docker(kind, "rm", item)
    return [item for items in found.values() for item in items]
