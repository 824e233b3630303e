"""What systemd knows of the units that we own, in one round trip."""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

PROPERTIES = ("Id", "LoadState", "ActiveState", "NeedDaemonReload", "Result", "InvocationID")


@dataclass(frozen=True)
class Unit:
    """systemd's own words: `load` (loaded, not-found …), `active` (active, inactive, failed …), `enabled`,
    `result`.
    """

    load: str
    active: str
    enabled: str
    needs_reload: bool
    result: str
    invocation: str

    @property
    def running(self) -> bool:
        """A oneshot that has not ended, or a service that is up."""
        return self.active in ("active", "activating", "deactivating", "reloading")


class UnitsFact(FactBase[dict[str, Unit]]):
    """Name to Unit, for the units asked for; empty where there is no systemd."""

    @staticmethod
    def default() -> dict[str, Unit]:
        return {}

    def command(self, units: tuple[str, ...]) -> str:
        # is-enabled looks at the links; what `show` says of them is remembered from the last reload.
        return (
            f"for unit in {' '.join(shlex.quote(unit) for unit in units)}; do "
            f'systemctl show --property={",".join(PROPERTIES)} "$unit" 2>/dev/null; '
            'echo "Enabled=$(systemctl is-enabled "$unit" 2>/dev/null)"; echo; done'
        )

    def process(self, output: list[str]) -> dict[str, Unit]:
        found = {}
        for block in "\n".join(output).split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if "Id" in values:
                found[values["Id"]] = Unit(
                    values.get("LoadState", ""),
                    values.get("ActiveState", ""),
                    values.get("Enabled", ""),
                    values.get("NeedDaemonReload") == "yes",
                    values.get("Result", ""),
                    values.get("InvocationID", ""),
                )
        return found
