"""The first start of the database server, which must not be taken for finished when it was interrupted.

The image makes its files on the first start, and skips that as soon as some of them are there. A power cut in
between leaves a server that never comes up, or one that lets nobody in. So a marker is there from before the
first start until the server has let somebody in.
"""

import shlex
from collections.abc import Generator
from pathlib import PurePosixPath

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.facts.database import DatabaseDueFact

from .reasons import because

# Asks over the network, as the app does, with the password that the container has in its environment.
_SHELL = r"""
container() {
  docker ps --all --quiet --filter label=com.docker.compose.project=%PROJECT% \
    --filter label=com.docker.compose.service=%SERVICE% --filter label=com.docker.compose.oneoff=False
}
lets_in() {
  docker exec "$(container)" sh -c 'PGPASSWORD="$POSTGRES_PASSWORD" exec psql -XAtq -h "$(hostname -i)" \
    -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "SELECT 1"' >/dev/null 2>&1
}
dies_again_and_again() {
  test "$(docker inspect --format '{{.RestartCount}}' "$(container)" 2>/dev/null || echo 0)" -ge 3
}
lets_in_soon() {
  for try in $(seq 1 %SECONDS%); do lets_in && return; dies_again_and_again && return 1; sleep 1; done
  return 1
}
"""
# Nothing of ours has seen this server let anybody in, and it does not now: it never held data. It is kept all
# the same.
_PREPARE = r"""
if ! docker volume inspect %VOLUME% >/dev/null 2>&1; then
  mkdir -p %FOLDER% && touch %MARKER% && sync %FOLDER%
elif test -e %MARKER%; then
  test -z "$(container)" || docker start "$(container)" >/dev/null
  if test -n "$(container)" && lets_in_soon; then exit 0; fi
  root=$(docker volume inspect --format '{{.Mountpoint}}' %VOLUME%) || exit 1
  aside="$(dirname "$root")/half-made-$(date -u +%Y%m%d_%H%M%S)"
  test -z "$(container)" || docker rm --force "$(container)" >/dev/null || exit 1
  if test -n "$(ls -A "$root")"; then
    mkdir "$aside" && find "$root" -mindepth 1 -maxdepth 1 -exec mv -t "$aside" {} + || exit 1
    echo "The first start of the database was interrupted. It is made anew; its remains are in $aside."
  fi
fi
"""
_MADE = r"""
test -e %MARKER% || exit 0
lets_in_soon || {
  echo "The database runs, and lets nobody in. Its log: sudo docker logs --tail 50 $(container)" >&2; exit 1
}
rm -f %MARKER%
"""
_SECONDS = 120
"""As long as the first start may take on a slow card."""


@operation()
def database_begun(
    project: str, service: str, volume: str, marker: str
) -> Generator[StringCommand, None, None]:
    """Before the database server is started: note that its first start begins, or put aside what is left of
    one that was interrupted.
    """
    if host.get_fact(DatabaseDueFact, volume=volume, marker=marker):
        because("the database was never seen to let anybody in")
        yield StringCommand(prepare_script(project, service, volume, marker))
    else:
        host.noop("the database is made")


@operation()
def database_made(
    project: str, service: str, volume: str, marker: str
) -> Generator[StringCommand, None, None]:
    """Once it is healthy: it lets the app in, so its first start is behind it."""
    if host.get_fact(DatabaseDueFact, volume=volume, marker=marker):
        yield StringCommand(made_script(project, service, volume, marker))
    else:
        host.noop("the database is made")


def prepare_script(project: str, service: str, volume: str, marker: str, seconds: int = _SECONDS) -> str:
    """Shell that does what `database_begun` says; a server that starts is waited for so long."""
    return _filled(_PREPARE, project, service, volume, marker, seconds)


def made_script(project: str, service: str, volume: str, marker: str, seconds: int = _SECONDS) -> str:
    """Shell that does what `database_made` says."""
    return _filled(_MADE, project, service, volume, marker, seconds)


def _filled(script: str, project: str, service: str, volume: str, marker: str, seconds: int) -> str:
    values = {
        "PROJECT": project,
        "SERVICE": service,
        "VOLUME": volume,
        "MARKER": marker,
        "FOLDER": str(PurePosixPath(marker).parent),
        "SECONDS": str(seconds),
    }
    text = _SHELL + script
    for name, value in values.items():
        text = text.replace(f"%{name}%", shlex.quote(value))
    return text
