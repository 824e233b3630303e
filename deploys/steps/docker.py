"""Docker Engine and Compose v2, from Docker's own apt repository or from Debian's."""

import io
import json
from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.operations import files, systemd

from deploys.operations.docker_config import docker_config
from deploys.operations.packages import packages
from deploys.steps.preflight import DEBIAN_PACKAGES, DOCKER_PACKAGES, Target
from deploys.steps.templates import render
from inventories.settings import DockerSettings

KEYRING = "/etc/apt/keyrings/loomio-docker.asc"
SOURCES = "/etc/apt/sources.list.d/loomio-docker.sources"
DEBIAN_URL = "https://download.docker.com/linux/debian"
UBUNTU_URL = "https://download.docker.com/linux/ubuntu"


@deploy("Docker")
def install(target: Target) -> None:
    """Install the engine, with its configuration in place before its first start."""
    settings = target.settings.docker
    docker_config(name="Configure the engine (daemon.json)", settings=daemon_settings(settings))
    if settings.source == "docker":
        files.put(
            name="Ship the key of Docker's apt repository",
            src=str(settings.apt_key),
            dest=KEYRING,
            mode="0644",
            add_deploy_dir=False,
        )
        files.put(
            name="Declare Docker's apt repository",
            src=io.StringIO(sources(target)),
            dest=SOURCES,
            mode="0644",
            create_remote_dir=False,
        )
    packages(name="Install Docker's packages", names=packages_of(settings))
    systemd.service(
        name="Start the engine, now and at boot", service="docker.service", running=True, enabled=True
    )


def packages_of(settings: DockerSettings) -> tuple[str, ...]:
    """The packages of the chosen source."""
    return DEBIAN_PACKAGES if settings.source == "debian" else DOCKER_PACKAGES


def sources(target: Target) -> str:
    """The declaration of Docker's apt repository."""
    return render(
        "docker.sources.j2",
        url=repository_url(target.settings.docker.apt_url, target.machine.os),
        codename=target.machine.codename,
        architecture=target.machine.architecture,
        key=KEYRING,
    )


def repository_url(url: str, operating_system: str) -> str:
    """Docker keeps Ubuntu's packages beside Debian's: the default address follows the system."""
    return UBUNTU_URL if operating_system == "ubuntu" and url.rstrip("/") == DEBIAN_URL else url


def daemon_settings(settings: DockerSettings) -> dict[str, Any]:
    """What we set of the engine: bounded logs, containers that survive its restart, mirrors."""
    text = render(
        "daemon.json.j2",
        registry_mirrors=settings.registry_mirrors,
        insecure_registries=settings.insecure_registries,
    )
    document: dict[str, Any] = json.loads(text)
    return document
