"""How Docker came onto the Pi, and where its data is."""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

#: Containers that a change of ours has stopped, until it has started them again.
STOPPED = "/var/lib/loomio-pi-stack/stopped-containers"
#: The engine's and containerd's own places, before anybody moves them.
OWN_PLACE = "/var/lib/docker"
CONTAINERD_PLACE = "/var/lib/containerd"


@dataclass(frozen=True)
class DockerPackages:
    """`held`: names that apt holds back. `interrupted`: a change stopped containers and started none."""

    held: frozenset[str]
    interrupted: bool


class DockerPackagesFact(FactBase[DockerPackages]):
    """The DockerPackages."""

    @staticmethod
    def default() -> DockerPackages:
        return DockerPackages(frozenset(), False)

    def command(self) -> str:
        return f"apt-mark showhold | sed 's/^/held /'; if test -e {STOPPED}; then echo interrupted; fi"

    def process(self, output: list[str]) -> DockerPackages:
        held = frozenset(line.split()[1] for line in output if line.startswith("held "))
        return DockerPackages(held, "interrupted" in output)


@dataclass(frozen=True)
class DockerPlace:
    """`mounted`: the disk is there. `configured`: the data-root of daemon.json, "" without one. `moved`: what
    keeps Docker from starting without the disk is in place. `here`, `there`: volumes or containers lie in the
    engine's own place, and on the disk.
    """

    mounted: bool
    configured: str
    moved: bool
    here: bool
    there: bool


# Of volumes/ everything but the engine's own index counts.
_PLACE = r"""
holds() { ls -A "$1"/volumes 2>/dev/null | grep -qvE '^(metadata.db|backingFsBlockDev)$' \
  || ls -A "$1"/containers 2>/dev/null | grep -q .; }
! mountpoint -q %MOUNT% || echo mounted
echo "configured $(sed -n 's/.*"data-root": *"\([^"]*\)".*/\1/p' /etc/docker/daemon.json 2>/dev/null)"
! holds /var/lib/docker || echo here
! holds %PATH%/docker || echo there
if grep -qsxF AssertPathIsMountPoint=%MOUNT% %GUARD% \
  && grep -qsF -- "--root "%PATH%/containerd %CONTAINERD%; then
  echo moved
fi
"""


class DockerPlaceFact(FactBase[DockerPlace]):
    """The DockerPlace, for data below `path` on the disk at `mount_point`; `guard` and `containerd` are the
    files that keep engine and containerd to it. Needs root.
    """

    @staticmethod
    def default() -> DockerPlace:
        return DockerPlace(False, "", False, False, False)

    def command(self, path: str, mount_point: str, guard: str, containerd: str) -> str:
        script = _PLACE
        values = {"PATH": path, "MOUNT": mount_point, "GUARD": guard, "CONTAINERD": containerd}
        for name, value in values.items():
            script = script.replace(f"%{name}%", shlex.quote(value))
        return script

    def process(self, output: list[str]) -> DockerPlace:
        configured = [
            line.split()[1] for line in output if line.startswith("configured ") and len(line.split()) > 1
        ]
        return DockerPlace(
            "mounted" in output,
            configured[0] if configured else "",
            "moved" in output,
            "here" in output,
            "there" in output,
        )
