"""Install Debian packages, refreshing apt's lists only when something is missing."""

import shlex
from collections.abc import Generator, Sequence

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.deb import DebPackages

from .reasons import because

# cloud-init and unattended upgrades hold apt's locks on a freshly flashed Pi: wait instead of failing.
APT = (
    "DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=600 "
    "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)

# Lists that an earlier step has just refreshed will do, unless a source or its key has come since.
UPDATE = (
    "stamp=/run/loomio-apt-updated; "
    'test -n "$(find $stamp -mmin -15 2>/dev/null)" && '
    'test -z "$(cd /etc/apt; find sources.list sources.list.d keyrings -newer $stamp 2>/dev/null)" || '
    f"{{ {APT} update && touch $stamp; }}"
)

# A power cut in the middle of dpkg's work leaves it to be finished, and until then apt does nothing.
_FINISHED = "dpkg --configure -a --force-confdef --force-confold"


def install(what: str) -> str:
    """The shell command that installs `what` (packages, and options for that), once dpkg is able to."""
    command = f"{APT} install --no-install-recommends {what}"
    return f"{command} || {{ {_FINISHED}; {command}; }}"


UNIT = "loomio-packages.service"
"""Installs packages in the background: `first_begun` of docker_packages.py."""
FIRST, DONE = "/run/loomio-packages-first", "/run/loomio-packages-installed"
"""There once that unit has installed what other work waits for, and all packages; what it does after that
needs no waiting.
"""
# On a slow line it takes longer than apt waits for its locks.
_WAIT = (
    f'while test "$(systemctl show --property=ActiveState --value {UNIT})" = activating && '
    "! test -e %s; do sleep 0.2; done"
)
WAIT_FIRST, WAIT = _WAIT % FIRST, _WAIT % DONE


def unless_there(names: Sequence[str], otherwise: str) -> str:
    """The shell command that does `otherwise` unless all these packages are there by now."""
    status = f"dpkg-query -W -f '${{db:Status-Status}}\\n' {' '.join(map(shlex.quote, names))} 2>/dev/null"
    return f'test "$({status} | grep -cx installed)" = {len(names)} || {{ {otherwise}; }}'


@operation()
def packages(names: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Make sure that these packages are installed, in whatever version; recommendations stay out."""
    installed = host.get_fact(DebPackages)
    missing = [name for name in names if name not in installed]
    if not missing:
        host.noop(f"installed: {', '.join(names)}")
        return
    because(f"not installed: {', '.join(missing)}")
    # They may be on their way.
    yield StringCommand(WAIT)
    needed = install(" ".join(missing))
    yield StringCommand(unless_there(missing, f"{{ {UPDATE}; }} && {{ {needed}; }}"))
