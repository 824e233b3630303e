"""Everything that can be known before anything is changed: what stops a deploy stops it here, with one
sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host

from deploys.facts.git import CheckoutFact
from deploys.facts.machine import Machine, MachineFact
from deploys.operations.git_checkout import objection
from deploys.steps import cron, dotenv, environment, openpgp, privilege
from inventories.secrets import Secrets
from inventories.settings import Settings

ARCHITECTURES = ("arm64", "amd64")
RELEASES = {
    "debian": ("trixie", "bookworm"),
    "ubuntu": ("noble",),
}
#: The app, the database and a little room to work in; the smaller one where Docker (and most likely its
#: images) is.
DISK_FRESH_MIB = 5 * 1024
DISK_AGAIN_MIB = 1024
MEMORY_MIB = 900

SCHEDULES = ("schedule", "prune_schedule", "watch_schedule", "verify_schedule", "verify_sample_schedule")

DEBIAN_PACKAGES = ("docker.io", "docker-cli", "docker-compose")
DOCKER_PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin")


@dataclass(frozen=True)
class Target:
    """One Pi, what it is meant to be, and what it is."""

    name: str
    settings: Settings
    secrets: Secrets
    machine: Machine
    #: The operator's two files, by the name that they have on the Pi and in every backup's config object.
    operator_files: Mapping[str, Path]


def check(host: Host) -> Target:
    """Look at the host and at the settings, become able to use sudo, and refuse what cannot work. Changes
    nothing.

    Raises DeployError: what is wrong, that nothing was changed, and what to do.
    """
    target = identify(host)
    for problem in problems(target):
        raise DeployError(f"{target.name}: {problem} Nothing was changed.")
    become_root(host, target)
    _refuse_edited_clone(host, target)
    return target


def problems(target: Target) -> list[str]:
    """Why this machine cannot become what the settings say, each in a sentence. Asks the machine nothing."""
    found = (
        system_problem(target.machine),
        docker_problem(target.machine, target.settings),
        key_problem(target.settings),
        content_problem(target),
    )
    return [problem for problem in found if problem]


def look(host: Host) -> Target:
    """Identify the machine and become able to use sudo on it, for deploys that only read."""
    target = identify(host)
    become_root(host, target)
    return target


def identify(host: Host) -> Target:
    """Ask the machine what it is. Raises DeployError when it is nothing that we can work with."""
    name: str = host.data.host_name
    machine = host.get_fact(MachineFact, _sudo=False)
    if machine is None:
        raise DeployError(
            f"{name}: logged in, but the answers are not those of a Debian system. Nothing was changed. "
            "Does the user have an ordinary shell?"
        )
    if machine.uid == 0:
        raise DeployError(
            f"{name}: logged in as root. Nothing was changed. The stack belongs to an ordinary user who may "
            f"use sudo: name one in hosts.{name}.user."
        )
    files = {"pi.yml": host.data.settings_file, "secrets.yml.age": host.data.secrets_file}
    return Target(name, host.data.settings, host.data.secrets, machine, files)


def become_root(host: Host, target: Target) -> None:
    """Make sudo work for everything that follows. Raises DeployError with what to do where it cannot."""
    own = target.secrets.hosts.get(target.name)
    password = own.sudo_password.get_secret_value() if own and own.sudo_password else None
    privilege.acquire(host, target.machine, password)


def system_problem(machine: Machine) -> str | None:
    """Why Loomio cannot run on this system at all."""
    if machine.architecture not in ARCHITECTURES:
        if machine.architecture in ("armhf", "armel", "i386"):
            return (
                f"this is a 32-bit system ({machine.architecture}), and there are no 32-bit images of "
                "Loomio, even where the processor could do more. Flash the 64-bit Raspberry Pi OS."
            )
        return f"its architecture is {machine.architecture or 'unknown'}; arm64 or amd64 is needed."
    if machine.codename not in RELEASES.get(machine.os, ()):
        return (
            f"{machine.pretty or 'this system'} is not supported: Raspberry Pi OS or Debian (trixie, "
            "bookworm) or Ubuntu (24.04) is needed."
        )
    if machine.init != "systemd":
        return "systemd does not run here, and backups are started by systemd timers."
    if machine.memory_mib < MEMORY_MIB:
        return f"it has {machine.memory_mib} MiB of memory; Loomio needs at least {MEMORY_MIB} MiB."
    fresh = not machine.docker_packages
    needed = DISK_FRESH_MIB if fresh else DISK_AGAIN_MIB
    if machine.disk_free_mib < needed:
        return f"/var/lib has {machine.disk_free_mib} MiB free; at least {needed} MiB are needed."
    return None


def docker_problem(machine: Machine, settings: Settings) -> str | None:
    """Why Docker cannot come from where the settings say."""
    source = settings.docker.source
    if source == "debian":
        if machine.os != "debian":
            return f"docker.source: debian is for Debian and Raspberry Pi OS; use docker on {machine.pretty}."
        if machine.codename == "bookworm":
            return (
                "docker.source: debian does not work on bookworm, whose docker-compose is version 1 (the "
                "stack needs Compose v2). Use docker.source: docker, or flash trixie."
            )
    return None


def key_problem(settings: Settings) -> str | None:
    """Why the apt key that would be shipped is not the one that the settings expect."""
    docker = settings.docker
    if docker.source != "docker":
        return None
    expected = docker.apt_key_fingerprint.replace(" ", "").upper()
    try:
        found = openpgp.fingerprints(docker.apt_key.read_bytes())
    except OSError as error:
        return f"docker.apt_key: {docker.apt_key} cannot be read ({error.strerror})."
    except openpgp.KeyFormatError as error:
        return f"docker.apt_key: {docker.apt_key} cannot be used: {error}."
    if found != [expected]:
        return (
            f"docker.apt_key: {docker.apt_key} holds the key {', '.join(found)}, but "
            f"docker.apt_key_fingerprint is {expected}. Do not go on before you know why."
        )
    return None


def content_problem(target: Target) -> str | None:
    """Why files cannot be written from the settings as they are."""
    backup = target.settings.backup
    for name in SCHEDULES:
        expression = getattr(backup, name)
        try:
            if expression is not None:
                cron.on_calendar(expression, target.settings.timezone)
        except cron.CronError as error:
            return f"backup.{name} cannot become a systemd timer: {error}."
    try:
        environment.render(target.settings, target.secrets)
    except dotenv.DotenvError as error:
        return f"the .env file cannot be written: {error}."
    return None


def _refuse_edited_clone(host: Host, target: Target) -> None:
    stack = target.settings.stack
    checkout = host.get_fact(
        CheckoutFact, directory=stack.directory, repository=stack.repository, ref=stack.ref, _sudo=False
    )
    problem = objection(checkout, stack.directory, stack.repository)
    if problem:
        raise DeployError(f"{target.name}: {problem}")
