"""Damages a recovered Pi, or Drive, on purpose: what the comparison must then find and name."""

from __future__ import annotations

from collections.abc import Callable

from .life import ENV_FILE, PROJECT, Rehearsal

VOLUMES = f"/var/lib/docker/volumes/{PROJECT}"


def _sql(rehearsal: Rehearsal, statement: str) -> None:
    pi = rehearsal.pi
    psql = ("docker", "exec", "-i", pi.database_container(), "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1")
    pi.run(*psql, "-U", "loomio", "-d", "loomio_production", "-c", statement)


def row(rehearsal: Rehearsal) -> str:
    """Change one value of one row."""
    _sql(rehearsal, "UPDATE users SET name = name || '.' WHERE id = (SELECT min(id) FROM users)")
    return "users"


def table(rehearsal: Rehearsal) -> str:
    """Drop a table."""
    _sql(rehearsal, "DROP TABLE reactions CASCADE")
    return "reactions"


def _first_file(rehearsal: Rehearsal) -> str:
    """A seeded file of more than one byte, below its volume."""
    find = f"cd {VOLUMES}_uploads/_data && find . -type f -size +1c | sort | head -n 1"
    return rehearsal.pi.run("sh", "-c", find).removeprefix("./")


def file(rehearsal: Rehearsal) -> str:
    """Change one byte of one file, keeping its size and time."""
    name = _first_file(rehearsal)
    script = (
        "import os,sys; p=sys.argv[1]; s=os.stat(p); f=open(p,'r+b'); b=f.read(1); f.seek(0); "
        "f.write(bytes([b[0]^1])); f.close(); os.utime(p, ns=(s.st_atime_ns, s.st_mtime_ns))"
    )
    rehearsal.pi.run("python3", "-c", script, f"{VOLUMES}_uploads/_data/{name}")
    return f"uploads/{name}"


def mode(rehearsal: Rehearsal) -> str:
    """Change the mode of one file."""
    name = _first_file(rehearsal)
    rehearsal.pi.run("chmod", "0777", f"{VOLUMES}_uploads/_data/{name}")
    return f"uploads/{name}"


def env(rehearsal: Rehearsal) -> str:
    """Change an application key of .env."""
    rehearsal.pi.run("sed", "-i", "s/^SECRET_COOKIE_TOKEN=.*/SECRET_COOKIE_TOKEN=another/", ENV_FILE)
    return "SECRET_COOKIE_TOKEN"


def object(rehearsal: Rehearsal) -> str:
    """Change a byte of a stored object in Drive."""
    name = min(name for name in rehearsal.before.objects if name.startswith("app-data_"))
    rehearsal.lab.cloud.drive.damage(name)
    return name


#: Each damages something and returns the name that the comparison must mention.
SABOTAGES: dict[str, Callable[[Rehearsal], str]] = {
    "row": row,
    "table": table,
    "file": file,
    "mode": mode,
    "env": env,
    "object": object,
}
