"""How long a recovery takes, from the command to a verified Loomio, beside what none can do without."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.lab.data import Spec
from tests.lab.docker import LabError
from tests.lab.drill import operator as desk
from tests.lab.drill.life import fill
from tests.lab.drill.operator import Finished, Operator
from tests.lab.lab import Lab
from tests.lab.pi import Pi

from .figures import tell
from .sources import SEED_MB, grow
from .unavoidable import Unavoidable, measure_unavoidable, needed

LIMIT = 1.5
"""A recovery takes at most so many times the sum of its unavoidable parts."""
_PHASE = re.compile(r"^( {2}| {4})(\S.*?) +(?:(\d+) min )?(\d+) s$", re.MULTILINE)


@dataclass(frozen=True)
class Recovery:
    """Both sides. `phases`: the deploy's own, in the order of the evening; `restore`: the agent's, within its
    phase of that name. Seconds; the printed phases are whole ones.
    """

    database_bytes: int
    file_bytes: int
    seconds: float
    phases: dict[str, float]
    restore: dict[str, float]
    unavoidable: Unavoidable

    @property
    def ratio(self) -> float:
        """What counts."""
        return round(self.seconds / self.unavoidable.sum, 2)

    @property
    def within_limits(self) -> bool:
        """Whether it is as quick as it has to be."""
        return self.ratio <= LIMIT


def measure_recovery(root: Path, database_mb: int, files_mb: int) -> Recovery:
    """Back a Pi up that has so much, destroy it, recover it on a new one, and do the parts on another."""
    with Lab(root, "trixie", sudo_password=False) as lab:
        pi = lab.new_pi()
        operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=lab.cloud.drive.register_user())
        _must(operator.deploy("setup"))
        database_bytes = _fill(pi, database_mb, files_mb)
        _must(operator.deploy("backup"))
        pi.destroy()
        fresh = lab.new_pi(port=pi.ssh_port)
        operator.forget_host_key(pi.ssh_port)
        recovered = _must(operator.deploy("disaster_recovery"))
        names = needed(fresh, _backup_of(recovered))
        fresh.destroy()
        found = split(lab, operator, recovered, names, database_bytes, files_mb * 1_000_000)
    tell("recovery", found)
    return found


def split(
    lab: Lab,
    operator: Operator,
    recovered: Finished,
    names: list[str],
    database_bytes: int,
    file_bytes: int,
) -> Recovery:
    """A recovery that was made in this lab, held against its parts; `names`: the objects that it needed."""
    phases, restore = read_phases(recovered.output)
    parts = measure_unavoidable(lab, operator, names)
    return Recovery(database_bytes, file_bytes, round(recovered.seconds, 1), phases, restore, parts)


def read_phases(output: str) -> tuple[dict[str, float], dict[str, float]]:
    """The times of the report that a recovery ends with: of its phases, and of those within the restore."""
    phases: dict[str, float] = {}
    restore: dict[str, float] = {}
    _, _, report = output.rpartition("How long it took:")
    for indent, name, minutes, seconds in _PHASE.findall(report):
        kind = phases if len(indent) == 2 else restore
        kind[name] = 60.0 * int(minutes or 0) + int(seconds)
    return phases, restore


def _backup_of(recovered: Finished) -> str:
    [name] = {match[1] for match in re.finditer(r" is back, from (\w+): ", recovered.output)}
    return name


def _fill(pi: Pi, database_mb: int, files_mb: int) -> int:
    """Returns the size of the database in bytes."""
    fill(pi, Spec(seed=9, db_mb=min(SEED_MB, database_mb), files_mb=files_mb))
    psql = ("docker", "exec", "-i", pi.database_container(), *"psql -XqAt -v ON_ERROR_STOP=1".split())

    def sql(script: str) -> str:
        return pi.run(*psql, "-U", "loomio", "-d", "loomio_production", input=script.encode())

    return grow(sql, database_mb)


def _must(finished: Finished) -> Finished:
    if finished.code != 0:
        raise LabError(f"a deploy ended with {finished.code}:\n{finished.output[-6000:]}")
    return finished
