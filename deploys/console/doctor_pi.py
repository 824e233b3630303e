"""What `loomio-pi doctor` looks at on a Pi, from its address to its last drill."""

import socket
import time
from collections.abc import Iterator

from deploys.console.agent_here import Operator
from deploys.console.doctor_backups import backups
from deploys.console.doctor_finding import Finding, problem, well
from deploys.console.pi_ssh import PiConnection
from deploys.facts.compose import ComposeStateFact
from deploys.facts.machine import ClockFact, Machine, MachineFact
from deploys.facts.systemd import UnitsFact
from deploys.facts.web import WebStatusFact
from deploys.steps import preflight, verification
from deploys.steps.paths import COMPOSE_RECORD, TIMERS
from inventories.settings import Host
from loomio_backup.errors import StoreError

#: Drive refuses what is signed minutes off, and a backup carries the time in its name.
_CLOCK_OFF_SECONDS = 120
_CONNECT_SECONDS = 10
_SETUP = "loomio-pi deploy setup"


def look(operator: Operator) -> Iterator[Finding]:
    """From the first thing that is needed to the last; ends at what everything else depends on."""
    name, host = operator.name, operator.settings.hosts[operator.name]
    reached = _reached(name, host)
    yield reached
    if not reached.well:
        return
    own = operator.secrets.hosts.get(name)
    word = own.sudo_password.get_secret_value() if own and own.sudo_password else None
    with PiConnection(name, host, word, asks=False) as pi:
        try:
            machine = pi.asked("logging in", MachineFact(), root=False)
        except StoreError as error:
            yield problem(f"logging in: {error}")
            return
        if machine is None:
            yield problem(
                f"logged in as {host.user}, but the answers are not those of a Debian system",
                "does the user have an ordinary shell?",
            )
            return
        yield well(f"{host.user} can log in ({machine.pretty}, {machine.memory_mib} MiB of memory)")
        try:
            yield from _as_root(operator, pi, machine, word)
        except StoreError as error:
            yield problem(str(error))


def _reached(name: str, host: Host) -> Finding:
    try:
        found = socket.getaddrinfo(host.address, host.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return problem(
            f"the name {host.address} has no address ({error.strerror or error})",
            f"is hosts.{name}.address right? The router knows the Pi's IP address",
        )
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(_CONNECT_SECONDS)
            try:
                connection.connect(address)
            except OSError as error:
                reason = error.strerror or str(error)
            else:
                return well(f"something answers at {host.address}, port {host.port}")
    return problem(
        f"nothing answers at {host.address}, port {host.port} ({reason})",
        "is it switched on, in this network, and is SSH turned on (Raspberry Pi Imager, or raspi-config)?",
    )


def _as_root(operator: Operator, pi: PiConnection, machine: Machine, word: str | None) -> Iterator[Finding]:
    name = operator.name
    if machine.uid == 0:
        yield problem("the login is root's", f"name an ordinary user who may use sudo in hosts.{name}.user")
        return
    if machine.sudo == "absent":
        yield problem("sudo is not installed", f"as root: apt install sudo; adduser {machine.user} sudo")
        return
    if machine.sudo != "free" and word is None:
        yield problem(
            f"sudo asks {machine.user} for a password, and the secrets have none",
            f"put in hosts.{name}.sudo_password with: loomio-pi secrets edit",
        )
        return
    with pi.command("becoming root", "true") as output:
        output.read()
    yield well(f"{machine.user} can use sudo" + ("" if machine.sudo == "free" else " with the password"))
    yield from _machine(operator, pi, machine)
    yield from _stack(operator, pi, machine)


def _machine(operator: Operator, pi: PiConnection, machine: Machine) -> Iterator[Finding]:
    off = pi.asked("asking for the time", ClockFact(), root=False) - time.time()
    if abs(off) > _CLOCK_OFF_SECONDS:
        yield problem(
            f"its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this computer's",
            "on the Pi: timedatectl. Without a network it does not know the time",
        )
    else:
        yield well("its clock is right")
    target = preflight.Target(operator.name, operator.settings, operator.secrets, machine, {})
    found = preflight.problems(target)
    for sentence in found:
        yield problem(sentence.removesuffix("."))
    if not found:
        yield well(f"the machine and the settings fit ({machine.disk_free_mib} MiB free)")


def _stack(operator: Operator, pi: PiConnection, machine: Machine) -> Iterator[Finding]:
    if not machine.docker_packages:
        yield problem("Docker is not installed: this Pi was not set up yet", _SETUP)
        return
    with pi.command("looking at Docker", "sh", "-c", "docker info >/dev/null 2>&1 && echo yes || true") as it:
        runs = it.read().strip() == b"yes"
    if not runs:
        yield problem("Docker does not run", "on the Pi: sudo systemctl status docker")
        return
    yield well("Docker runs")
    layout = operator.settings.stack.layout
    state = pi.asked(
        "looking at the stack",
        ComposeStateFact(),
        directory=operator.settings.stack.directory,
        project=layout.project,
        record=COMPOSE_RECORD,
    )
    wrong = verification.stack_problems(state)
    if not wrong:
        web = pi.asked("looking at the web", WebStatusFact(), url=layout.web_url)
        wrong = verification.web_problems(web, layout.web_url)
    for sentence in wrong:
        yield problem(sentence.removesuffix("."))
    if state is None:
        return
    if not wrong:
        yield well("every service of the stack is healthy, and the web interface answers")
    units = pi.asked("looking at the timers", UnitsFact(), units=TIMERS)
    yield from backups(operator, pi, verification.timer_problems(units, {}))
