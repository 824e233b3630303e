"""Docker Engine and Compose v2, from Docker's own apt repository or from Debian's."""

import io
import json
from collections.abc import Sequence
from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.operations import files, systemd

from deploys.operations.config_file import config_file
from deploys.operations.docker_config import docker_config
from deploys.operations.docker_packages import docker_packages, first_begun
from deploys.operations.docker_place import docker_place
from deploys.operations.images import images_exist
from deploys.steps.paths import COMPOSE_RECORD
from deploys.steps.preflight import DEBIAN_PACKAGES, DOCKER_PACKAGES, Target
from deploys.steps.templates import render
from inventories.settings import DockerSettings

KEYRING = "/etc/apt/keyrings/loomio-docker.asc"
SOURCES = "/etc/apt/sources.list.d/loomio-docker.sources"
PREFERENCES = "/etc/apt/preferences.d/loomio-docker"
#: Which packages carry the engine's version.
VERSIONED = {"docker": ("docker-ce", "docker-ce-cli"), "debian": ("docker.io", "docker-cli")}
ALL_VERSIONED = tuple(name for names in VERSIONED.values() for name in names)
#: Of the other source's packages apt knows nothing, and to name them would be an error.
UNHOLD = f"apt-mark showhold | grep -xE '{'|'.join(ALL_VERSIONED)}' | xargs -r apt-mark unhold > /dev/null"
DEBIAN_URL = "https://download.docker.com/linux/debian"
UBUNTU_URL = "https://download.docker.com/linux/ubuntu"


@deploy("Docker")
def install(target: Target) -> None:
    """Install the engine, with its configuration in place before its first start."""
    _declare(target)
    _install(target)


@deploy("Docker")
def begin(target: Target, first: Sequence[str], more: Sequence[str]) -> None:
    """The same, but where there is no engine yet, packages (`first`, then `more` and Docker's) and the images
    that are needed whichever version of the app it will be come in the background; `finish` waits for the
    packages. An engine of a certain version is left to `finish`.
    """
    _declare(target)
    settings, images = target.settings.docker, target.settings.stack.images
    pinned = settings.version is not None
    first_begun(
        name="Begin to install packages"
        if pinned
        else "Begin to install Docker, and to fetch PostgreSQL and Redis",
        names=() if pinned else packages_of(settings),
        others=(*DEBIAN_PACKAGES, *DOCKER_PACKAGES),
        first=first,
        more=more,
        images=() if pinned else (images.postgres, images.redis),
    )


@deploy("Docker")
def finish(target: Target) -> None:
    """What `begin` began, or could not begin, is done when this is."""
    _install(target)


def _declare(target: Target) -> None:
    settings = target.settings.docker
    if settings.data:
        docker_place(
            name=f"Keep Docker's data in {settings.data.path}",
            path=settings.data.path,
            mount_point=settings.data.mount_point,
        )
    docker_config(name="Configure the engine (daemon.json)", settings=daemon_settings(settings))
    _source(target)
    config_file(
        name="Let apt stay at one version" if settings.version else "Let apt take any version",
        path=PREFERENCES,
        content=preferences(settings),
        apply="true" if settings.version else UNHOLD,
    )


def _install(target: Target) -> None:
    settings = target.settings.docker
    docker_packages(
        name="Install Docker's packages",
        names=packages_of(settings),
        versioned=VERSIONED[settings.source],
        others=DEBIAN_PACKAGES if settings.source == "docker" else DOCKER_PACKAGES,
        version=settings.version,
    )
    systemd.service(
        name="Start the engine, now and at boot", service="docker.service", running=True, enabled=True
    )


@deploy("Docker")
def check_images(target: Target) -> None:
    """Ask whether every image exists for this processor, before any of them is fetched."""
    settings = target.settings.docker
    if settings.check_images:
        images_exist(
            name="Ask whether the images exist for this Pi",
            directory=target.settings.stack.directory,
            project=target.settings.stack.layout.project,
            record=COMPOSE_RECORD,
            architecture=target.machine.architecture,
            mirrors=settings.registry_mirrors,
            insecure=settings.insecure_registries,
        )


def _source(target: Target) -> None:
    """Docker's own apt repository, or not a trace of it. A key that was replaced counts at the next `apt
    update`, which comes before anything is installed.
    """
    settings = target.settings.docker
    if settings.source == "debian":
        for path in (SOURCES, KEYRING):
            files.file(name=f"Remove {path}", path=path, present=False)
        return
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


def preferences(settings: DockerSettings) -> str | None:
    """What pins the engine's version; None without one. Docker's own packages carry an epoch."""
    if settings.version is None:
        return None
    epoch = "5:" if settings.source == "docker" else ""
    return render("docker.pref.j2", packages=VERSIONED[settings.source], version=f"{epoch}{settings.version}")


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
        log_size=log_size(settings.log_size),
        log_files=settings.log_files,
    )
    document: dict[str, Any] = json.loads(text)
    return document | ({"data-root": f"{settings.data.path}/docker"} if settings.data else {})


def log_size(size: int) -> str:
    """As Docker writes it: its k and m are decimal."""
    return f"{size // 10**6}m" if size % 10**6 == 0 else f"{size // 1000}k"
