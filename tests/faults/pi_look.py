"""What is on a simulated Pi, live and beside. Runs on the Pi as root, on nothing but its Python:
`pi_look.py PROJECT`, prints one object of JSON.

databases: SHA-256 of each database of ours as SQL. files: that of everything below the app-data volumes, with
all attributes. live, kept: path and content of every file that is live, or is kept from before a switch.
running: services whose containers run. journal, marker: of the last restore.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/loomio-backup")
ROOTS = ("storage", "uploads", "files", "plugins")
_ASIDE = (".loomio-before-", ".loomio-arriving-")


def docker(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, check=True)
    return done.stdout


def services(project: str) -> dict[str, str]:
    """The containers of the project that run, by their service."""
    listing = docker(
        *("ps", "--no-trunc", "--filter", f"label=com.docker.compose.project={project}"),
        *("--format", '{{.ID}} {{.Label "com.docker.compose.service"}}'),
    )
    return {service: id_ for id_, service in (line.split() for line in listing.splitlines())}


def databases(container: str) -> dict[str, str]:
    """A digest of each; one that refuses connections is asked all the same, and left as it was."""

    def sql(statement: str) -> str:
        psql = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "loomio", "-d", "postgres")
        return docker("exec", "-i", container, *psql, stdin=statement)

    found = {}
    names = sql("SELECT datname, datallowconn FROM pg_database WHERE datname LIKE 'loomio%'").split()
    for name, allowed in (line.split("|") for line in names):
        if allowed == "f":
            sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        text = docker("exec", container, "pg_dump", "-U", "loomio", name).splitlines()
        if allowed == "f":
            sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        # Sorted: a table that was restored need not have its rows in the places that they had.
        lines = sorted(line for line in text if not line.startswith(("\\restrict", "\\unrestrict")))
        found[name] = digest("\n".join(lines).encode())
    return found


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def below(root: Path, name: str) -> tuple[str, list[tuple[str, str]]]:
    """A digest of all that is live below a root, and its files."""
    whole, files = hashlib.sha256(), []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(one for one in folders if not one.startswith(".loomio-"))
        for path in (Path(folder), *(Path(folder, one) for one in sorted(names))):
            status = path.lstat()
            relative = os.fspath(path.relative_to(root))
            # A root's own time changes with whatever is kept beside.
            time = 0 if path == root else status.st_mtime_ns
            content = ""
            if stat.S_ISREG(status.st_mode):
                content = digest(path.read_bytes())
                files.append((f"{name}/{relative}", content))
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)  # noqa: PTH115 - to the letter
            fact = (relative, status.st_mode, status.st_uid, status.st_gid, time, content)
            whole.update(repr(fact).encode("utf-8", "surrogateescape"))
        for one in folders:
            if Path(folder, one).is_symlink():
                link = os.readlink(Path(folder, one))  # noqa: PTH115 - to the letter
                whole.update(repr((one, link)).encode("utf-8", "surrogateescape"))
    return whole.hexdigest(), files


def main() -> None:
    project = sys.argv[1]
    running = services(project)
    digests, live, kept = [], [], []
    for name in ROOTS:
        root = Path(f"/var/lib/docker/volumes/{project}_{name}/_data")
        whole, files = below(root, name)
        digests.append(whole)
        live += files
        for place in root.iterdir():
            if place.name.startswith(_ASIDE):
                kept += below(place, name)[1]
    journal: dict[str, Any] = {}
    if (STATE / "restore-journal.json").exists():
        journal = json.loads((STATE / "restore-journal.json").read_text())
    found = {
        "databases": databases(running["db"]),
        "files": digest("".join(digests).encode()),
        "live": live,
        "kept": kept,
        "running": sorted(running),
        "journal": {key: journal.get(key) for key in ("state", "backup", "start_due")} if journal else {},
        "marker": (STATE / "restore-unsettled").exists(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
