"""Whether the live database notices pages that the SD card gave back otherwise than they were written."""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

_QUERY = (
    "SELECT current_setting('data_checksums') || ' ' || coalesce(sum(checksum_failures), 0) "
    "FROM pg_stat_database"
)
_SCRIPT = r"""
command -v docker >/dev/null || exit 0
container=$(docker ps --quiet --filter label=com.docker.compose.project=%PROJECT% \
  --filter label=com.docker.compose.service=%SERVICE% 2>/dev/null)
test -n "$container" || exit 0
docker exec "$container" \
  sh -c 'exec psql -XAtq -U "$POSTGRES_USER" -d postgres -c "$1"' psql %QUERY% 2>/dev/null
exit 0
"""


@dataclass(frozen=True)
class DataChecksums:
    """Whether they are `on`, and how many `failures` were counted since the statistics began."""

    on: bool
    failures: int


class DataChecksumsFact(FactBase[DataChecksums | None]):
    """The DataChecksums of the service that runs the database; None where it does not answer. Needs root."""

    def command(self, project: str, service: str) -> str:
        return (
            _SCRIPT.replace("%PROJECT%", shlex.quote(project))
            .replace("%SERVICE%", shlex.quote(service))
            .replace("%QUERY%", shlex.quote(_QUERY))
        )

    def process(self, output: list[str]) -> DataChecksums | None:
        words = output[-1].split() if output else []
        if len(words) != 2 or not words[1].isdecimal():
            return None
        return DataChecksums(words[0] == "on", int(words[1]))
