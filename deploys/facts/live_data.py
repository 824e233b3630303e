"""Whether this Pi holds data that a recovery would replace."""

import shlex
from dataclasses import dataclass
from typing import Literal

from pyinfra.api.facts import FactBase

from loomio_backup.database.postgres import BOOKKEEPING

# Tables that have rows, but those that say nothing about people's data.
_QUERY = r"""
WITH present AS MATERIALIZED (
  SELECT n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
  AND c.relname !~ '^(%BOOKKEEPING%)$')
SELECT count(*) FROM present WHERE (xpath('/row/n/text()', query_to_xml(
  format('SELECT count(*) AS n FROM (SELECT 1 FROM %I.%I LIMIT 1) AS one', nspname, relname),
  false, true, '')))[1]::text <> '0'
"""

_SCRIPT = r"""
command -v docker >/dev/null || { echo none; exit 0; }
docker info >/dev/null 2>&1 || { echo unknown the Docker engine does not run; exit 0; }
docker volume inspect %VOLUME% >/dev/null 2>&1 || { echo none; exit 0; }
container=$(docker ps --quiet --filter label=com.docker.compose.project=%PROJECT% \
  --filter label=com.docker.compose.service=%SERVICE%)
test -n "$container" || { echo unread the database does not run; exit 0; }
tables=$(docker exec "$container" \
  sh -c 'exec psql -XAtq -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "$1"' psql %QUERY% 2>&1)
if test $? = 0; then
  if test "$tables" = 0; then echo none; else echo rows $tables; fi
elif echo "$tables" | grep -q 'database ".*" does not exist'; then
  echo none
else
  echo unread the database does not answer
fi
"""


@dataclass(frozen=True)
class LiveData:
    """`state`: none, rows (in `tables` tables), or unknown for the `reason` given; `unread`: the volume is
    there all the same.
    """

    state: Literal["none", "rows", "unknown"]
    tables: int = 0
    reason: str = ""
    unread: bool = False


class LiveDataFact(FactBase[LiveData]):
    """The LiveData of a Compose project: `service` runs the database, `volume` (its full name) holds it.
    Needs root.
    """

    @staticmethod
    def default() -> LiveData:
        return LiveData("unknown", reason="nothing answered")

    def command(self, project: str, service: str, volume: str) -> str:
        return (
            _SCRIPT.replace("%VOLUME%", shlex.quote(volume))
            .replace("%SERVICE%", shlex.quote(service))
            .replace("%PROJECT%", shlex.quote(project))
            .replace("%QUERY%", shlex.quote(" ".join(_QUERY.replace("%BOOKKEEPING%", BOOKKEEPING).split())))
        )

    def process(self, output: list[str]) -> LiveData:
        word, _, rest = output[-1].partition(" ")
        if word == "none":
            return LiveData("none")
        if word == "rows" and rest.isdecimal():
            return LiveData("rows", tables=int(rest))
        return LiveData("unknown", reason=rest, unread=word == "unread")
