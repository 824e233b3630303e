"""Docker's data on a disk of its own: moved whole, refused without the disk, never two by accident."""

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.facts.docker import CONTAINERD_PLACE, OWN_PLACE, DockerPlace, DockerPlaceFact

from .docker_packages import START, STOP
from .reasons import because

ENGINE_GUARD = "/etc/systemd/system/docker.service.d/loomio-pi-disk.conf"
CONTAINERD_GUARD = "/etc/systemd/system/containerd.service.d/loomio-pi-disk.conf"

_MOVE = """
set -e
if test -d {own} && test -n "{copy}"; then
  needed=$(du -sxB1 {own} {containerd} 2> /dev/null | awk '{{sum += $1}} END {{print sum}}')
  free=$(df -B1 --output=avail {mount} | tail -n 1)
  if test "$free" -lt $((needed + 200000000)); then
    echo "docker.data: {mount} has $free bytes free, and Docker's data takes $needed. Nothing was moved." >&2
    exit 1
  fi
fi
start() {{ :
{start}
}}
trap 'status=$?; test $status = 0 || start || true; exit $status' EXIT
{stop}
if systemctl cat docker.service > /dev/null 2>&1; then
  systemctl stop docker.socket docker.service
  systemctl stop containerd.service
fi
mkdir -p {place}
if test -n "{copy}"; then
  for pair in {own}:docker {containerd}:containerd; do
    from=${{pair%:*}} to={place}/${{pair#*:}}
    rm -rf "$to.partial"
    if test -d "$from"; then
      mkdir -m 0711 "$to.partial"
      cp -a "$from"/. "$to.partial"/
    fi
  done
  sync -f {place}
  # A second copy of what was there before any containers were: nobody's data (looked at before).
  for to in {place}/docker {place}/containerd; do
    rm -rf "$to"
    if test -d "$to.partial"; then mv "$to.partial" "$to"; fi
  done
fi
mkdir -p {place}/docker {place}/containerd /etc/docker {engine_folder} {containerd_folder}
printf %s {engine_text} > {engine_guard}
printf %s {containerd_text} > {containerd_guard}
python3 - {place}/docker << 'END'
import json, os, sys
path = "/etc/docker/daemon.json"
settings = json.load(open(path)) if os.path.exists(path) else {{}}
settings["data-root"] = sys.argv[1]
with open(path + ".new", "w") as file:
    file.write(json.dumps(settings, indent=2) + "\\n")
os.chmod(path + ".new", 0o644)
os.replace(path + ".new", path)
END
sync
systemctl daemon-reload
if systemctl cat docker.service > /dev/null 2>&1; then
  systemctl start containerd.service
  start
fi
"""


@operation()
def docker_place(path: str, mount_point: str) -> Generator[StringCommand, None, None]:
    """Keep the data of engine and containerd below `path`, on the disk that is mounted at `mount_point`, and
    do not let them start without it. What they have is copied there; the original stays until somebody
    removes it.

    Raises OperationError, before anything is changed, where the disk is not mounted, and where both places
    hold data.
    """
    found = host.get_fact(
        DockerPlaceFact,
        path=path,
        mount_point=mount_point,
        guard=ENGINE_GUARD,
        containerd=CONTAINERD_GUARD,
    )
    root = f"{path}/docker"
    _refuse(found, path, mount_point, root)
    if found.configured == root and found.moved:
        host.noop(f"Docker's data is in {path}")
        return
    because(f"Docker's data is to be in {path}, on its disk")
    quoted = shlex.quote
    yield StringCommand(
        _MOVE.format(
            own=OWN_PLACE,
            containerd=CONTAINERD_PLACE,
            copy="yes" if found.here and found.configured != root else "",
            mount=quoted(mount_point),
            place=quoted(path),
            start=START,
            stop=STOP,
            engine_folder=ENGINE_GUARD.rpartition("/")[0],
            containerd_folder=CONTAINERD_GUARD.rpartition("/")[0],
            engine_text=quoted(engine_guard(mount_point)),
            containerd_text=quoted(containerd_guard(path, mount_point)),
            engine_guard=ENGINE_GUARD,
            containerd_guard=CONTAINERD_GUARD,
        )
    )


def _refuse(found: DockerPlace, path: str, mount_point: str, root: str) -> None:
    if not found.mounted:
        raise OperationError(
            f"{host.name}: docker.data: nothing is mounted at {mount_point}. Nothing was changed, and "
            "Docker's data is "
            "where it was. Plug the disk in, have it mounted at every start (docs/docker.md), and "
            "run this again."
        )
    if found.configured and found.configured != root and found.configured != OWN_PLACE:
        raise OperationError(
            f"{host.name}: docker.data: Docker's data is in {found.configured} by now (data-root in "
            f"/etc/docker/daemon.json), and only what is in {OWN_PLACE} can be moved. Nothing was changed."
        )
    if found.configured != root and found.here and found.there:
        raise OperationError(
            f"{host.name}: docker.data: both {OWN_PLACE} and {root} hold containers or volumes, and "
            "nobody but you "
            "knows which are the right ones. Nothing was changed. Rename the other one on the Pi "
            f"(sudo mv {root} {root}.old to go on with those of the card), and run this again."
        )


def engine_guard(mount_point: str) -> str:
    """Without the disk the engine would start with nothing, and the app with an empty database."""
    return (
        "# See docker.data in the settings.\n[Unit]\n"
        f"RequiresMountsFor={mount_point}\nAssertPathIsMountPoint={mount_point}\n"
    )


def containerd_guard(path: str, mount_point: str) -> str:
    """The same for containerd, which is told its place here: its own file is its package's."""
    command = f"/usr/bin/containerd --root {path}/containerd"
    return f"{engine_guard(mount_point)}[Service]\nExecStart=\nExecStart={command}\n"
