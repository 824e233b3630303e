"""Whether the web interface answers, asked on the Pi itself."""

import shlex

from pyinfra.api.facts import FactBase

# The header says that the visitor came over HTTPS, as a proxy in front would: otherwise the app redirects.
_PROGRAM = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1] + "/api/v1/boot/version", headers={"X-Forwarded-Proto": "https"})
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print(0)
"""


class WebStatusFact(FactBase[int]):
    """The HTTP status of the app's version endpoint; 0 when nothing answers."""

    @staticmethod
    def default() -> int:
        return 0

    def requires_command(self, url: str) -> str:
        return "python3"

    def command(self, url: str) -> str:
        return f"python3 -c {shlex.quote(_PROGRAM)} {shlex.quote(url)}"

    def process(self, output: list[str]) -> int:
        return int(output[-1]) if output[-1].isdecimal() else 0
