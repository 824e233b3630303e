"""What runs of the stack, and whether it is what was last brought up: does `up` have anything to do?

Compose itself cannot be asked. `config --hash` of 2.26 leaves env_file out, which `up` has in; `up --dry-run`
of 5.x neither says in its plain output what it would do nor reliably leaves the containers alone. So after
each `up` a fingerprint of everything that it depends on is kept: the whole resolved configuration (as a hash:
it holds the app's secrets), the images' ids, and the labels that Compose gave its containers.
"""

import hashlib
import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# %DIR% is the directory of the clone: it holds .env, which names the compose file and the project.
_SCRIPT = r"""
command -v docker >/dev/null || { echo absent no docker; exit 0; }
test -f %DIR%/.env || { echo absent no .env; exit 0; }
cd %DIR% || exit 1
docker info >/dev/null 2>&1 || { echo absent no engine; exit 0; }
services=$(docker compose config --services 2>/dev/null) || { echo absent no compose file; exit 0; }
echo "$services" | sed '/./!d; s/^/service /'
images=$(docker compose config --images) || exit 1
for image in $(echo "$images" | sort -u); do
  echo "image $image $(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null)"
done
containers=$(docker ps --all --quiet --no-trunc --filter label=com.docker.compose.project=%PROJECT% \
  --filter label=com.docker.compose.oneoff=False) || exit 1
for container in $containers; do
  docker inspect --format \
'container {{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} '\
'{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} '\
'{{index .Config.Labels "com.docker.compose.config-hash"}} '\
'{{index .Config.Labels "com.docker.compose.image"}}' \
    "$container"
done
echo "config $(docker compose config --format json | sha256sum | cut -d ' ' -f 1)"
echo "applied $(cat %RECORD% 2>/dev/null)"
"""


@dataclass(frozen=True)
class Container:
    """One container of the project: Docker's own words for status (`running` …) and health (`none` without a
    check); the hash of its configuration and the id of its image as Compose wrote them down.
    """

    service: str
    status: str
    health: str
    config_hash: str = ""
    image: str = ""

    @property
    def healthy(self) -> bool:
        """Runs, and its health check (if it has one) passes."""
        return self.status == "running" and self.health in ("healthy", "none")


@dataclass(frozen=True)
class ComposeState:
    """`services`: their names. `images`: reference to the id here, "" where it is absent. `config`: SHA-256
    of the resolved configuration. `applied`: the fingerprint kept after the last `up`, "" without one.
    """

    services: tuple[str, ...]
    images: dict[str, str]
    containers: tuple[Container, ...]
    config: str = ""
    applied: str = ""

    def of(self, service: str) -> tuple[Container, ...]:
        """The containers of one service."""
        return tuple(container for container in self.containers if container.service == service)

    def unhealthy(self, services: tuple[str, ...] | None = None) -> list[str]:
        """Services (of these, or of all) that do not run, or whose health check does not pass."""
        return sorted(
            name
            for name in services or self.services
            if not self.of(name) or not all(container.healthy for container in self.of(name))
        )

    def absent(self, services: tuple[str, ...] | None = None) -> list[str]:
        """Services (of these, or of all) without a container that runs."""
        return sorted(
            name
            for name in services or self.services
            if not self.of(name) or not all(one.status in ("running", "restarting") for one in self.of(name))
        )

    def surplus(self) -> list[str]:
        """Services that have containers and are not (or no longer) turned on."""
        return sorted({container.service for container in self.containers} - set(self.services))

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that another `up` would look at: configuration, images, containers."""
        containers = sorted(f"{one.service} {one.config_hash} {one.image}" for one in self.containers)
        images = sorted(f"{reference} {identity}" for reference, identity in self.images.items())
        return hashlib.sha256("\n".join([self.config, *images, *containers]).encode()).hexdigest()

    def is_up(self, services: tuple[str, ...] | None = None) -> bool:
        """Whether `up` for these services (or for all) has nothing to do. When in doubt, it has."""
        return bool(self.services) and not self.absent(services) and self.applied == self.fingerprint()

    def missing_images(self) -> list[str]:
        """Images that have to be pulled."""
        return sorted(image for image, identity in self.images.items() if not identity)


class ComposeStateFact(FactBase[ComposeState | None]):
    """The ComposeState; None while there is no engine, or no `.env`, to ask. `record` is the file that keeps
    the fingerprint. Needs root.
    """

    def command(self, directory: str, project: str, record: str) -> str:
        script = _SCRIPT.replace("%DIR%", shlex.quote(directory)).replace("%PROJECT%", shlex.quote(project))
        return script.replace("%RECORD%", shlex.quote(record))

    def process(self, output: list[str]) -> ComposeState | None:
        services = []
        images: dict[str, str] = {}
        containers = []
        hashes = {"config": "", "applied": ""}
        for line in output:
            kind, *fields = line.split()
            if kind == "absent":
                return None
            if kind == "service":
                services.append(fields[0])
            elif kind == "image":
                images[fields[0]] = fields[1] if len(fields) > 1 else ""
            elif kind == "container":
                containers.append(Container(*fields))
            elif kind in hashes:
                hashes[kind] = fields[0] if fields else ""
        return ComposeState(tuple(services), images, tuple(containers), **hashes)
