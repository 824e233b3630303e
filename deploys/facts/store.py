"""What lies in a local store on the Pi."""

import shlex

from pyinfra.api.facts import FactBase


class StoreFilesFact(FactBase[dict[str, int]]):
    """Name to size in bytes of each file in the folder `path`. Needs root."""

    @staticmethod
    def default() -> dict[str, int]:
        return {}

    def command(self, path: str) -> str:
        return f"find {shlex.quote(path)}/ -maxdepth 1 -type f -printf '%s %f\\n' 2>/dev/null || true"

    def process(self, output: list[str]) -> dict[str, int]:
        found = {}
        for line in output:
            size, _, name = line.partition(" ")
            if size.isdecimal():
                found[name] = int(size)
        return found
