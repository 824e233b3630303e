"""What the kernel swaps to."""

from pyinfra.api.facts import FactBase


class SwapFact(FactBase[dict[str, int]]):
    """Path to bytes, of every file and partition in use. A zram's name begins with /dev/zram."""

    @staticmethod
    def default() -> dict[str, int]:
        return {}

    def command(self) -> str:
        return "cat /proc/swaps"

    def process(self, output: list[str]) -> dict[str, int]:
        words = [line.split() for line in output[1:]]
        return {line[0]: int(line[2]) * 1024 for line in words if len(line) >= 3}
