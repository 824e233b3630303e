"""Docker's packages, from one source or the other, in one version or any: what the engine keeps stays."""

import re
import shlex
from collections.abc import Generator, Sequence

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.deb import DebPackages

from deploys.facts.docker import STOPPED, DockerPackagesFact

from .packages import APT, DONE, FIRST, UNIT, UPDATE, WAIT, install, unless_there
from .reasons import because

#: Containers that run are stopped before the engine changes places or kinds, because they would live on
#: without the new one knowing of them, and a second database would be started on the same files. They are
#: written down first, so that the next run starts them should this one be cut off.
STOP = f"""
mkdir -p {STOPPED.rpartition("/")[0]}
if ! test -e {STOPPED} && docker info > /dev/null 2>&1; then
  docker ps --quiet --no-trunc > {STOPPED}.new && mv -f {STOPPED}.new {STOPPED}
fi
if test -s {STOPPED} && docker info > /dev/null 2>&1; then
  xargs docker stop -t 120 < {STOPPED} > /dev/null
fi
"""
#: A container that the engine no longer knows is made anew by the stack's step: its volumes are there.
START = f"""
systemctl daemon-reload
systemctl start docker.service
if test -e {STOPPED}; then
  while read -r one; do
    if docker inspect "$one" > /dev/null 2>&1; then docker start "$one" > /dev/null; fi
  done < {STOPPED}
  rm -f {STOPPED}
fi
"""
_SWITCH = """
set -e
stop() { :
%STOP%
}
start() { :
%START%
}
%CHECK%
%DOWNLOAD%
trap 'status=$?; test $status = 0 || start || true; exit $status' EXIT
stop
%INSTALL%
start
%HOLD%
"""
_CHECK = """
there=$(apt-cache madison %FIRST% | awk '{print $3}')
if ! echo "$there" | grep -qE '^([0-9]+:)?%VERSION%([-+~]|$)'; then
  echo "docker.version: there is no version %TOLD% of %FIRST%; there are:" $there >&2
  echo "Docker was left as it was." >&2
  exit 1
fi
"""


@operation()
def docker_packages(
    names: tuple[str, ...], versioned: tuple[str, ...], others: tuple[str, ...], version: str | None = None
) -> Generator[StringCommand, None, None]:
    """Install the packages `names`, and take away `others`, those of the other source.

    `version` is what those of `versioned` have to be (without epoch and revision, as 29.1.3), and stay.
    """
    installed = host.get_fact(DebPackages)
    state = host.get_fact(DockerPackagesFact)
    missing = [name for name in names if name not in installed]
    surplus = [name for name in others if name in installed]
    differing = [
        f"{name} {', '.join(installed[name])}"
        for name in versioned
        if version and name in installed and not all(is_version(one, version) for one in installed[name])
    ]
    loose = [name for name in versioned if version and name not in state.held]
    if not (missing or surplus or differing or loose or state.interrupted):
        host.noop(f"installed: {', '.join(names)}")
        return
    for what, which in (
        ("not installed", missing),
        ("from the other source", surplus),
        ("other versions", differing),
    ):
        if which:
            because(f"{what}: {', '.join(which)}")
    if state.interrupted:
        because("containers that an earlier run stopped have not been started again")
    if loose and not (missing or differing):
        because(f"not held back by apt: {', '.join(loose)}")
    # They may be on their way.
    yield StringCommand(WAIT)
    engine_changes = bool(surplus or differing or state.interrupted)
    wanted = " ".join([*names, *(f"{name}-" for name in surplus)])
    what = f"--allow-downgrades --allow-change-held-packages {wanted}"
    if not (engine_changes or version):
        yield StringCommand(unless_there(names, f"{{ {UPDATE}; }} && {{ {install(what)}; }}"))
        return
    # A version that is asked for may have come out a minute ago.
    yield StringCommand(f"{APT} update" if version else UPDATE)
    values = {
        "CHECK": _check(versioned[0], version) if version else "",
        # First: a line that breaks off must not leave the app stopped.
        "DOWNLOAD": install(f"--download-only {what}") if engine_changes else "",
        "STOP": STOP if engine_changes else "",
        "START": START if engine_changes else "",
        "HOLD": f"apt-mark hold {' '.join(versioned)} > /dev/null" if version else "",
        "INSTALL": install(what),
    }
    script = _SWITCH
    for name, value in values.items():
        script = script.replace(f"%{name}%", value)
    yield StringCommand(script)


@operation()
def first_begun(
    names: tuple[str, ...],
    others: tuple[str, ...],
    first: Sequence[str],
    more: Sequence[str],
    images: tuple[str, ...],
) -> Generator[StringCommand, None, None]:
    """Where there is no Docker yet, neither `names` nor `others`: begin to install packages in the
    background, `first` and then all the rest in one go, `more` and `names` (or none of these, where they
    are to be chosen with care); and then to pull images. `packages` and `docker_packages` wait for it, and
    install themselves what it did not.
    """
    installed = host.get_fact(DebPackages)
    if there := [name for name in (*names, *others) if name in installed]:
        host.noop(f"installed: {', '.join(there)}")
        return
    because("it takes a while, and most of what comes next needs nothing of it")
    pulls = [f"docker pull --quiet {shlex.quote(image)} &" for image in images]
    steps = (
        "set -e",
        f"rm -f {FIRST} {DONE}",
        UPDATE,
        install(" ".join(first)),
        f"touch {FIRST}",
        # Again, should a list have needed certificates that were not there.
        UPDATE,
        install(" ".join((*more, *names))),
        f"touch {DONE}",
        *(["systemctl start docker.service", f"{' '.join(pulls)} wait"] if images else []),
    )
    yield StringCommand(
        # One that an interrupted run has begun goes on.
        f'test "$(systemctl show --property=ActiveState --value {UNIT})" = activating || '
        f"systemd-run --quiet --collect --no-block --unit={UNIT} --property=Type=oneshot "
        f"--property=TimeoutStartSec=3600 sh -c {shlex.quote('; '.join(steps))}"
    )


def is_version(installed: str, wanted: str) -> bool:
    """Whether a Debian version (with epoch and revision) is this one of the engine's own."""
    return re.fullmatch(rf"(\d+:)?{re.escape(wanted)}([-+~].*)?", installed) is not None


def _check(name: str, version: str) -> str:
    pattern = version.replace(".", "[.]")
    return (
        _CHECK.replace("%FIRST%", shlex.quote(name)).replace("%VERSION%", pattern).replace("%TOLD%", version)
    )
