"""systemd's view of our unit files: reload it when, and only when, it is behind the files."""

from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.facts.systemd import UnitsFact

from .reasons import because


@operation()
def units_loaded(units: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    """Make systemd read unit files that are new or changed."""
    found = host.get_fact(UnitsFact, units=units)
    behind = [
        name
        for name in units
        if name not in found or found[name].load == "not-found" or found[name].needs_reload
    ]
    if behind:
        because(f"systemd has not read, or not as it is now: {', '.join(behind)}")
        yield StringCommand("systemctl daemon-reload")
    else:
        host.noop("systemd knows the units as they are")


@operation()
def units_gone(units: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    """Stop units of ours and remove them."""
    found = host.get_fact(UnitsFact, units=units)
    there = [
        name
        for name in units
        if name in found and (found[name].load != "not-found" or found[name].enabled not in ("", "not-found"))
    ]
    if not there:
        host.noop("there is nothing of them")
        return
    because(f"still there: {', '.join(there)}")
    files = " ".join(f"/etc/systemd/system/{name}" for name in units)
    yield StringCommand(
        f"systemctl disable --quiet --now {' '.join(there)}; rm -f {files} && systemctl daemon-reload"
    )


@operation()
def restarted_if_running(unit: str) -> Generator[StringCommand, None, None]:
    """Restart a service that is not ours, unless it does not run anyway."""
    yield StringCommand(f"if systemctl is-active --quiet {unit}; then systemctl restart {unit}; fi")


@operation()
def units_active(units: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    """Make timers or path units run now and after every boot, all in one go."""
    found = host.get_fact(UnitsFact, units=units)
    states = {unit: found.get(unit) for unit in units}
    on = {name for name, one in states.items() if one and (one.active, one.enabled) == ("active", "enabled")}
    off = [name for name in units if name not in on]
    for name in off:
        one = states[name]
        state = f"{one.active}, {one.enabled or 'unknown to systemd'}" if one else "not there"
        because(f"{name} is {state}")
    if off:
        yield StringCommand(f"systemctl enable --now {' '.join(off)}")
    else:
        host.noop(f"enabled and active: {', '.join(units)}")
