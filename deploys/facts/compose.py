"""What Docker Compose would run, and what runs: enough to know whether `up` or `pull` would change anything.

`docker compose config` without a selection prints the app's secrets, so only hashes and image names are asked
for.
"""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# %DIR% is the directory of the clone: it holds .env, which names the compose file and the project.
_SCRIPT = r"""
command -v docker >/dev/null || { echo absent no docker; exit 0; }
test -f %DIR%/.env || { echo absent no .env; exit 0; }
cd %DIR% || exit 1
docker info >/dev/null 2>&1 || { echo absent no engine; exit 0; }
hashes=$(docker compose config --hash '*') || exit 1
echo "$hashes" | sed '/./!d; s/^/service /'
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
'{{index .Config.Labels "com.docker.compose.config-hash"}} {{.Image}} {{.Config.Image}}' "$container"
done
"""


@dataclass(frozen=True)
class Container:
    """One container of the project: Docker's own words for status (`running` …) and health (`none` without a
    check).
    """

    service: str
    status: str
    health: str
    config_hash: str
    image_id: str
    image: str

    @property
    def healthy(self) -> bool:
        """Runs, and its health check (if it has one) passes."""
        return self.status == "running" and self.health in ("healthy", "none")


@dataclass(frozen=True)
class ComposeState:
    """`services`: name to the hash that it should have. `images`: reference to the id here, "" where it is
    absent.
    """

    services: dict[str, str]
    images: dict[str, str]
    containers: tuple[Container, ...]

    def of(self, service: str) -> tuple[Container, ...]:
        """The containers of one service."""
        return tuple(container for container in self.containers if container.service == service)

    def outdated(self, services: tuple[str, ...] | None = None) -> list[str]:
        """Services (of these, or of all) that `docker compose up` would create, replace or start."""
        return sorted(name for name in services or self.services if not self._current(name))

    def orphans(self) -> list[str]:
        """Services that have containers and are no longer part of the project."""
        return sorted({container.service for container in self.containers} - set(self.services))

    def unhealthy(self, services: tuple[str, ...] | None = None) -> list[str]:
        """Services (of these, or of all) that do not run, or whose health check does not pass."""
        return sorted(
            name
            for name in services or self.services
            if not self.of(name) or not all(container.healthy for container in self.of(name))
        )

    def missing_images(self) -> list[str]:
        """Images that have to be pulled."""
        return sorted(image for image, identity in self.images.items() if not identity)

    def _current(self, service: str) -> bool:
        containers = self.of(service)
        return bool(containers) and all(
            container.status == "running"
            and container.config_hash == self.services.get(service)
            # A pull of the same tag may have brought another image.
            and self.images.get(container.image, container.image_id) == container.image_id
            for container in containers
        )


class ComposeStateFact(FactBase[ComposeState | None]):
    """The ComposeState; None while there is no engine, or no `.env`, to ask. Needs root."""

    def command(self, directory: str, project: str) -> str:
        return _SCRIPT.replace("%DIR%", shlex.quote(directory)).replace("%PROJECT%", shlex.quote(project))

    def process(self, output: list[str]) -> ComposeState | None:
        services: dict[str, str] = {}
        images: dict[str, str] = {}
        containers = []
        for line in output:
            kind, *fields = line.split()
            if kind == "absent":
                return None
            if kind == "service":
                services[fields[0]] = fields[1]
            elif kind == "image":
                images[fields[0]] = fields[1] if len(fields) > 1 else ""
            elif kind == "container":
                containers.append(Container(*fields))
        return ComposeState(services, images, tuple(containers))
