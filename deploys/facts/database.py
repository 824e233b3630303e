"""Whether the database server's own files are still to be made, or were never seen finished."""

import shlex

from pyinfra.api.facts import FactBase

_SCRIPT = r"""
if test -e %MARKER%; then echo due
elif ! command -v docker >/dev/null; then echo due
elif docker info >/dev/null 2>&1 && ! docker volume inspect %VOLUME% >/dev/null 2>&1; then echo due
fi
"""


class DatabaseDueFact(FactBase[bool]):
    """True where there is no `volume` of the database yet, or the `marker` says that it was begun. Needs
    root.
    """

    @staticmethod
    def default() -> bool:
        return False

    def command(self, volume: str, marker: str) -> str:
        return _SCRIPT.replace("%MARKER%", shlex.quote(marker)).replace("%VOLUME%", shlex.quote(volume))

    def process(self, output: list[str]) -> bool:
        return "due" in output
