"""Waiting for a card that still sets itself up and for the right time; name, time zone and language of the
Pi.
"""

import shlex
import time
from collections.abc import Generator

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.system import System, SystemFact

from .callback import Callback
from .packages import APT
from .reasons import because, only_waits
from .run import complain, own_arguments, wait_until

#: So far apart the clocks of the Pi and of this computer may be where nobody keeps the Pi's right:
#: certificates and the names of backups are not bothered by it.
CLOCKS_APART_SECONDS = 60


@operation()
def first_start_finished(seconds: int) -> Generator[Callback, None, None]:
    """Wait until cloud-init has set up a new card: it holds apt's locks, and may restart the Pi."""
    found = host.get_fact(SystemFact)
    if not found.starting:
        _mind_cloud_init(host, found)
        host.noop("nothing is being set up in the background")
        return
    only_waits()
    arguments = own_arguments(host)

    def wait(state: State, host: Host) -> bool:
        latest = [found]

        def finished() -> bool:
            latest[0] = host.get_fact(SystemFact, **arguments)
            return not latest[0].starting

        if wait_until(finished, seconds=seconds):
            _mind_cloud_init(host, latest[0])
            return True
        return complain(
            host,
            f"cloud-init still sets the Pi up after {seconds} s (it says: {latest[0].cloud_init}). "
            "Nothing was changed. Wait and run this again; what it does is shown on the Pi by: "
            "cloud-init status --long",
        )

    yield Callback(wait)


def _mind_cloud_init(host: Host, found: System) -> None:
    if found.cloud_init == "error":
        logger.warning(
            f"{host.print_prefix}cloud-init met an error when it set this card up (on the Pi: "
            "cloud-init status --long). Going on."
        )


@operation()
def clock_right(seconds: int) -> Generator[Callback, None, None]:
    """Wait until the Pi has the right time, from the network or by the clock of this computer; without it no
    certificate is valid and backups are named wrongly.
    """
    if _right(host.get_fact(SystemFact)):
        host.noop("the clock is right")
        return
    only_waits()
    arguments = own_arguments(host)

    def wait(state: State, host: Host) -> bool:
        if wait_until(lambda: _right(host.get_fact(SystemFact, **arguments)), seconds=seconds):
            return True
        now = host.get_fact(SystemFact, **arguments).now
        shown = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        return complain(
            host,
            f"the Pi has no right time after {seconds} s: it thinks that it is {shown} UTC, which is not "
            "what this computer has. Nothing was changed. Can it reach a time server (UDP, port 123)? "
            "On the Pi: timedatectl timesync-status. Where there is none: "
            "sudo date -u -s 'YYYY-MM-DD HH:MM:SS', and run this again.",
        )

    yield Callback(wait)


def _right(found: System) -> bool:
    return found.clock_right or abs(found.now - time.time()) <= CLOCKS_APART_SECONDS


@operation()
def timezone(zone: str) -> Generator[StringCommand, None, None]:
    """Give the Pi this time zone."""
    present = host.get_fact(SystemFact).timezone
    if present == zone:
        host.noop(f"the time zone is {zone}")
        return
    because(f"the time zone is {present or 'not known'} instead of {zone}")
    # Not by timedatectl, which tells the kernel as well: one that was never told before moves its clock by
    # the difference (settimeofday(2)), and in a container that is the clock of the whole machine.
    file = shlex.quote(f"/usr/share/zoneinfo/{zone}")
    yield StringCommand(
        f"test -e {file} && ln -s -f {file} /etc/localtime.new && "
        "mv -f -T /etc/localtime.new /etc/localtime && "
        f"if test -e /etc/timezone; then echo {shlex.quote(zone)} > /etc/timezone; fi"
    )


@operation()
def hostname(host_name: str) -> Generator[StringCommand, None, None]:
    """Give the Pi this name. That it resolves is not ours: cloud-init may write /etc/hosts."""
    present = host.get_fact(SystemFact).hostname
    if present == host_name:
        host.noop(f"the Pi is called {host_name}")
        return
    because(f"the Pi is called {present or 'nothing'} instead of {host_name}")
    yield StringCommand(f"hostnamectl set-hostname {shlex.quote(host_name)}")


@operation()
def locale(language: str) -> Generator[StringCommand, None, None]:
    """Make this the language of the system, and have it generated."""
    present = host.get_fact(SystemFact).locale
    if present == language:
        host.noop(f"the locale is {language}")
        return
    because(f"the locale is {present or 'not set'} instead of {language}")
    if not language.startswith("C."):
        line = f"{language} UTF-8"
        yield StringCommand(
            f"command -v locale-gen > /dev/null || {APT} install --no-install-recommends locales"
        )
        yield StringCommand(
            f"grep -qx {shlex.quote(line)} /etc/locale.gen 2> /dev/null || echo {shlex.quote(line)} >> "
            "/etc/locale.gen"
        )
        # It says what it cannot generate, and ends with 0 all the same.
        yield StringCommand(
            f"locale-gen > /dev/null && localedef --list-archive | grep -qi {_listed(language)}"
        )
    yield StringCommand(f"update-locale LANG={language}")


def _listed(name: str) -> str:
    """As localedef lists it: en_GB.utf8."""
    language, _, _codeset = name.partition(".")
    return shlex.quote(f"^{language}.utf8$")
