"""Holds the recovered Pi against the seed and against what was remembered of the dead one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

from ..data.compare import Comparison, compare
from ..data.entries import WALK_SCRIPT, parse_walk
from ..data.files import FileFact
from ..data.sections import PSQL_OPTIONS
from ..docker import LabError
from ..pi import Pi
from .life import PROJECT, Rehearsal, environment

ROOTS = ("storage", "uploads", "files", "plugins")
MOST_NAMED = 20


def judge(rehearsal: Rehearsal) -> None:
    """Compare everything, and fill the report's figures and problems."""
    pi, report, before = rehearsal.pi, rehearsal.report, rehearsal.before
    found = compare(rehearsal.spec, lambda script: run_sql(pi, script), lambda: list_files(pi))
    _note(rehearsal, found)
    keys = environment(pi)
    if not before.environment:
        report.problems.append("no application key was remembered: .env was not compared")
    wrong_keys = [key for key in before.environment if keys.get(key) != before.environment[key]]
    report.env_differing = len(wrong_keys)
    report.problems += [f"{key} in .env is not what it was" for key in wrong_keys]
    wrong_objects = damaged_objects(rehearsal)
    report.objects_differing = len(wrong_objects)
    report.problems += [f"object {name} in Drive is not what was stored" for name in wrong_objects]
    report.web_status = web_status(pi)
    if report.web_status != 200:
        report.problems.append(f"the web interface answers {report.web_status}")
    report.status_says, wrong = agent_status(pi, before.backup)
    report.problems += wrong
    report.ok = not report.problems


def agent_status(pi: Pi, restored: str) -> tuple[list[str], list[str]]:
    """What `loomio-backup status` has to say on the recovered Pi, and what is wrong with that."""
    done = subprocess.run(
        ["docker", "exec", pi.name, "loomio-backup", "status", "--json"], capture_output=True, timeout=120
    )
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return [], [f"loomio-backup status ended with {done.returncode}: {done.stderr.decode()}"]
    drive = next((store for store in found["stores"] if store["store"] == "drive"), None)
    if drive is None or drive["newest"] != restored:
        return found["problems"] + found["notes"], [f"status does not know {restored} in Drive: {drive}"]
    return found["problems"] + found["notes"] or ["nothing is wrong"], []


def _note(rehearsal: Rehearsal, found: Comparison) -> None:
    report, before = rehearsal.report, rehearsal.before
    report.tables, report.rows, report.rows_differing = found.tables, found.rows, found.rows_differing
    report.files, report.files_differing = found.files, len(found.files_differing)
    report.attachments, report.attachments_broken = found.attachments, len(found.attachments_broken)
    report.ledger_entries = found.ledger.rows
    whole = found.ledger.gap_free and found.ledger.agrees
    report.ledger_differing = 0 if whole else max(1, len(found.ledger.details))
    report.rows_lost = before.ledger_number - found.ledger.rows
    differences = list(found.differences())
    report.problems += differences[:MOST_NAMED]
    if len(differences) > MOST_NAMED:
        report.problems.append(f"and {len(differences) - MOST_NAMED} more differences")
    if not 0 < found.ledger.rows <= before.ledger_number:
        report.problems.append(
            f"the ledger has {found.ledger.rows} entries; {before.ledger_number} had been written"
        )


def run_sql(pi: Pi, script: str) -> Iterator[bytes]:
    """Stream what psql prints for a script, from the stack's database."""
    psql = ("docker", "exec", "-i", pi.database_container(), "psql", *PSQL_OPTIONS)
    with pi.stream(*psql, "-U", "loomio", "-d", "loomio_production", "-c", script) as output:
        yield from output


def list_files(pi: Pi) -> Iterator[FileFact]:
    """Every entry of the app-data volumes."""
    roots = [f"{root}=/var/lib/docker/volumes/{PROJECT}_{root}/_data" for root in ROOTS]
    return parse_walk(pi.run("python3", "-", *roots, input=WALK_SCRIPT.encode()).splitlines())


def damaged_objects(rehearsal: Rehearsal) -> list[str]:
    """Names of objects whose bytes in Drive are not those that lay there when the old Pi died."""
    now = rehearsal.lab.cloud.stored()
    return [
        name
        for name, digest in rehearsal.before.objects.items()
        # The only object that may be replaced.
        if name != "RECOVERY.md" and (name not in now or now[name]["sha256"] != digest)
    ]


def web_status(pi: Pi) -> int:
    try:
        return int(pi.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:3000/"))
    except LabError:
        # curl says 000 with an exit code of its own when nothing listens.
        return 0
