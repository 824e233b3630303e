"""The containers of a project as they are this moment, without Compose: which run, and which are ready."""

import shlex
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

# Docker asks for a container's health once in an interval, first when one has passed. Its question is in the
# container's configuration, so that it can be asked at once: by the same command, with the same rights.
_SCRIPT = r"""
ask() {
  one=$1 kind=$2
  case "$kind" in
  CMD-SHELL)
    timeout 10 docker exec "$one" /bin/sh -c "$(docker inspect \
      --format '{{index .Config.Healthcheck.Test 1}}' "$one")" ;;
  CMD)
    docker inspect --format \
      '{{range $at, $word := .Config.Healthcheck.Test}}{{if $at}}{{println $word}}{{end}}{{end}}' "$one" |
      sed '/^$/d' | timeout 10 xargs -d '\n' docker exec "$one" ;;
  *) false ;;
  esac </dev/null >/dev/null 2>&1
}
containers=$(docker ps --all --quiet --no-trunc --filter label=com.docker.compose.project=%PROJECT% \
  --filter label=com.docker.compose.oneoff=False) || exit 1
test -z "$containers" || docker inspect --format \
'{{.ID}} {{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.State.ExitCode}} '\
'{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} '\
'{{if .Config.Healthcheck}}{{index .Config.Healthcheck.Test 0}}{{else}}NONE{{end}} '\
'{{index .Config.Labels "com.docker.compose.depends_on"}}' $containers |
while read -r id service status code health kind needs; do
  if test "$status $health" = "running starting" && ask "$id" "$kind"; then health=healthy; fi
  echo "$id $service $status $code $health $needs"
done
"""


@dataclass(frozen=True)
class Running:
    """One container: Docker's words for status and health, where `healthy` also says that the check passes
    now; `code`: what it ended with; `needs`: service to Compose's condition for it.
    """

    id: str
    service: str
    status: str
    code: int
    health: str
    needs: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Runs, and its health check (if it has one) passes."""
        return self.status == "running" and self.health in ("healthy", "none")

    def fulfils(self, condition: str) -> bool:
        """Whether what depends on it in this way may start."""
        if condition == "service_healthy":
            return self.ready
        if condition == "service_completed_successfully":
            return self.status == "exited" and self.code == 0
        return self.status == "running"


class ContainersFact(FactBase[tuple[Running, ...]]):
    """The project's containers (none of them one-off). Needs root."""

    def command(self, project: str) -> str:
        return _SCRIPT.replace("%PROJECT%", shlex.quote(project))

    def process(self, output: list[str]) -> tuple[Running, ...]:
        found = []
        for line in output:
            identity, service, status, code, health, *needs = line.split()
            found.append(Running(identity, service, status, int(code), health, _needs("".join(needs))))
        return tuple(found)


def _needs(label: str) -> dict[str, str]:
    """Compose's label: `db:service_healthy:false,redis:service_started:false`."""
    parts = [entry.split(":") for entry in label.split(",") if entry]
    return {part[0]: part[1] if len(part) > 1 else "service_started" for part in parts}
