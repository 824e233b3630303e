"""What Docker Compose would do, and what runs: enough to know whether `up` or `pull` would change anything.

`docker compose config` without a selection prints the app's secrets, so only names are asked for. Its
`--hash` is of no use here: Compose 2.26 leaves env_file out of it, and the hash that `up` compares has it in.
`up --dry-run` is the truth.
"""

import re
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
'{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' "$container"
done
"""

_PLAN = r"""
command -v docker >/dev/null || { echo unknown; exit 0; }
test -f %DIR%/.env || { echo unknown; exit 0; }
cd %DIR% || exit 1
docker compose --progress plain --ansi never up --detach --no-build --pull never --dry-run %OPTIONS% 2>&1 ||
echo unknown
"""
_ACTION = re.compile(r"DRY-RUN MODE -\s+(\w+\s+\S+)\s+(\w+)")
#: What Compose says of things that it leaves alone.
_LEFT_ALONE = frozenset({"Running", "Waiting", "Healthy", "Exited"})


@dataclass(frozen=True)
class Container:
    """One container of the project: Docker's own words for status (`running` …) and health (`none` without a
    check).
    """

    service: str
    status: str
    health: str

    @property
    def healthy(self) -> bool:
        """Runs, and its health check (if it has one) passes."""
        return self.status == "running" and self.health in ("healthy", "none")


@dataclass(frozen=True)
class ComposeState:
    """`services`: their names. `images`: reference to the id here, "" where it is absent."""

    services: tuple[str, ...]
    images: dict[str, str]
    containers: tuple[Container, ...]

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

    def missing_images(self) -> list[str]:
        """Images that have to be pulled."""
        return sorted(image for image, identity in self.images.items() if not identity)


class ComposeStateFact(FactBase[ComposeState | None]):
    """The ComposeState; None while there is no engine, or no `.env`, to ask. Needs root."""

    def command(self, directory: str, project: str) -> str:
        return _SCRIPT.replace("%DIR%", shlex.quote(directory)).replace("%PROJECT%", shlex.quote(project))

    def process(self, output: list[str]) -> ComposeState | None:
        services = []
        images: dict[str, str] = {}
        containers = []
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
        return ComposeState(tuple(services), images, tuple(containers))


class ComposePlanFact(FactBase[tuple[str, ...] | None]):
    """What `docker compose up` would do ("Container x Recreate" …), for all or some services; () is nothing.

    None where it cannot be known yet: no engine, no `.env`, images that are not here. Needs root.
    """

    def command(self, directory: str, services: tuple[str, ...]) -> str:
        options = " ".join(shlex.quote(service) for service in services) or "--remove-orphans"
        return _PLAN.replace("%DIR%", shlex.quote(directory)).replace("%OPTIONS%", options)

    def process(self, output: list[str]) -> tuple[str, ...] | None:
        if "unknown" in output:
            return None
        found = (_ACTION.search(line) for line in output)
        return tuple(f"{match[1]} {match[2]}" for match in found if match and match[2] not in _LEFT_ALONE)
