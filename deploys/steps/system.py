"""The Pi itself: it has finished its first start and knows the time; its name, logs, memory, upgrades, and
who may reach it.
"""

from pyinfra.api.deploy import deploy

from deploys.operations import firewall, memory, ssh, swap, system
from deploys.operations.config_file import config_file
from deploys.operations.packages import packages
from deploys.steps.paths import AGENT_STATE, RESTORE_MARKER
from deploys.steps.preflight import Target
from deploys.steps.templates import render
from inventories.system_settings import Firewall, Journal, SystemSettings

#: What the agent is built with.
FIRST = ("ca-certificates", "python3", "python3-venv")
NEEDED = (*FIRST, "git")
JOURNAL = "/etc/systemd/journald.conf.d/90-loomio-pi.conf"
UPGRADES = "/etc/apt/apt.conf.d/52loomio-pi"
#: Sorted after other people's, because the last ExecStart= counts.
UPGRADES_GUARD = "/etc/systemd/system/apt-daily-upgrade.service.d/90-loomio-pi.conf"
LOCK = f"{AGENT_STATE}/lock"


@deploy("System")
def wait(target: Target) -> None:
    """Wait until the Pi has finished its first start and knows the time: certificates need that."""
    settings = target.settings.system
    if seconds := settings.wait_for_cloud_init_seconds:
        system.first_start_finished(name="Wait until the card has set itself up", seconds=seconds)
    if seconds := settings.wait_for_clock_seconds:
        system.clock_right(name="Wait for the right time", seconds=seconds)


@deploy("System")
def prepare(target: Target) -> None:
    """Bring the Pi into the state that everything else builds on. May restart it once (memory)."""
    settings = target.settings.system
    packages(name="Install the packages of the system", names=packages_of(settings))
    _identity(target)
    config_file(
        name="Limit the journal",
        path=JOURNAL,
        content=journal(settings.journal),
        apply="systemctl restart systemd-journald.service",
    )
    if settings.memory_limits:
        memory.memory_limits(name="Have limits of memory enforced")
    swap.swap_file(
        name="Swap to a file",
        path=settings.swap.path if settings.swap else None,
        size=settings.swap.size if settings.swap else 0,
    )
    _upgrades(settings)
    _reach(settings)


def _identity(target: Target) -> None:
    settings = target.settings.system
    if settings.set_timezone:
        system.timezone(name="Set the time zone", zone=target.settings.timezone)
    if settings.hostname:
        system.hostname(name="Set the host name", host_name=settings.hostname)
    if settings.locale:
        system.locale(name="Set the locale", language=settings.locale)


def _upgrades(settings: SystemSettings) -> None:
    on = settings.unattended_upgrades
    for what, path, content in upgrade_files():
        config_file(
            name=f"{'Write' if on else 'Remove'} {what}",
            path=path,
            content=content if on else None,
            apply="systemctl daemon-reload",
        )


def _reach(settings: SystemSettings) -> None:
    if settings.firewall:
        firewall.firewall(
            name="Close the Pi to the network but for SSH and what is allowed",
            rules=firewall_rules(settings.firewall),
            unit=render("loomio-pi-firewall.service.j2", rules=firewall.RULES),
        )
    else:
        firewall.no_firewall(name="Have no firewall of ours")
    ssh.ssh_keys_only(name="Log in by SSH with keys only", wanted=settings.ssh_keys_only)


def packages_of(settings: SystemSettings) -> tuple[str, ...]:
    """All that is installed for the system, at once: each time costs a look at every list of packages."""
    wanted = {
        "unattended-upgrades": settings.unattended_upgrades,
        "nftables": settings.firewall is not None,
        # It resolves the Pi's own name, whatever /etc/hosts says: cloud-init may write that at every start.
        "libnss-myhostname": settings.hostname is not None,
    }
    return (*NEEDED, *(name for name, needed in wanted.items() if needed))


def journal(settings: Journal | None) -> str | None:
    """journald's limits; None: as the system has them."""
    if settings is None:
        return None
    storage = None if settings.storage == "as_is" else settings.storage
    return render("journald.conf.j2", max_size=settings.max_size, storage=storage)


def upgrade_files() -> list[tuple[str, str, str]]:
    """(what, path, content) of what unattended upgrades are told."""
    guard = render("apt-upgrades.service.j2", marker=RESTORE_MARKER, lock=LOCK)
    return [
        ("when to upgrade, and what", UPGRADES, render("apt-upgrades.conf.j2")),
        ("the guard that no upgrade comes into a backup or restore", UPGRADES_GUARD, guard),
    ]


def firewall_rules(settings: Firewall) -> str:
    """The rules, but for the ports of the SSH server."""
    allowed = {
        protocol: [port.partition("/")[0] for port in settings.allow if port.endswith(f"/{protocol}")]
        for protocol in ("tcp", "udp")
    }
    return render("firewall.nft.j2", ssh_ports=firewall.SSH_PORTS, allowed=allowed)
