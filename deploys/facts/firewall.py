"""Whether our own firewall is in force."""

from pyinfra.api.facts import FactBase


class FirewallFact(FactBase[tuple[bool, bool]]):
    """(the kernel has our table, the unit is enabled). Needs root."""

    @staticmethod
    def default() -> tuple[bool, bool]:
        return False, False

    def command(self) -> str:
        return (
            "if /usr/sbin/nft list table inet loomio_pi > /dev/null 2>&1; then echo table; fi; "
            "if systemctl is-enabled --quiet loomio-pi-firewall.service 2> /dev/null; then echo enabled; fi"
        )

    def process(self, output: list[str]) -> tuple[bool, bool]:
        return "table" in output, "enabled" in output
