"""The config object: everything besides data that a Pi needs to come back, as one small tar.

env                      the stack's .env
stack.json               program and host, repository commit, images with digests, PostgreSQL's version
postgres/database.json   properties of the database
postgres/roles.json      roles, for the restore
postgres/roles.sql       the same, for a person with psql
files/…                  Compose files and the operator's files under their absolute paths
"""

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from loomio_backup.backup.dump import Dump
from loomio_backup.catalogue.manifest import Image, Stack
from loomio_backup.database.postgres import DatabaseProperties, Role
from loomio_backup.docker import Container, image_digests
from loomio_backup.errors import DamagedObject, SourceError

_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Bundle:
    """What a restore takes from the config object. `env` is the text of `.env`, None when there was none."""

    env: str | None
    properties: DatabaseProperties
    roles: list[Role]


@dataclass
class Collected:
    """A tar (plain, in memory) and what could not be put in it."""

    tar: bytes
    warnings: list[str] = field(default_factory=list)


def describe_stack(stack_directory: Path, containers: Sequence[Container]) -> Stack:
    """The version of the stack: repository commit and the image of every service."""
    digests = image_digests(sorted({container.image_id for container in containers}))
    images = {
        container.service: Image(
            reference=container.image, id=container.image_id, digests=digests[container.image_id]
        )
        for container in containers
        if not container.one_off
    }
    return Stack(commit=_commit(stack_directory), images=images)


def collect(
    env_file: Path, files: Sequence[Path], containers: Sequence[Container], facts: dict[str, Any], dump: Dump
) -> Collected:
    """Gather the config object's content; a file that is not there is a warning, one that cannot be read an
    error.
    """
    collected = Collected(b"")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add_text(tar, "stack.json", _json(facts))
        _add_text(tar, "postgres/database.json", _json(asdict(dump.properties)))
        _add_text(tar, "postgres/roles.json", _json([asdict(role) for role in dump.roles]))
        _add_text(tar, "postgres/roles.sql", roles_sql(dump.roles))
        if env_file.exists():
            _add_file(tar, "env", env_file)
        else:
            collected.warnings.append(f"{env_file} does not exist, so it is not in the backup")
        for path in _unique([*_compose_files(containers), *files]):
            if path.exists():
                for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                    if file.is_file():
                        _add_file(tar, "files" + str(file), file)
            else:
                collected.warnings.append(f"{path} does not exist, so it is not in the backup")
    collected.tar = buffer.getvalue()
    if len(collected.tar) > _MOST_BYTES:
        raise SourceError(
            f"the configuration files are {len(collected.tar)} bytes together, more than {_MOST_BYTES}: "
            "large data belongs to app_data. Earlier backups are untouched."
        )
    return collected


def read(source: BinaryIO) -> Bundle:
    """Read what a restore needs from the config object's tar."""
    texts: dict[str, str] = {}
    with tarfile.open(fileobj=source, mode="r|") as tar:
        for member in tar:
            if member.isfile() and not member.name.startswith("files/"):
                content = tar.extractfile(member)
                assert content is not None
                texts[member.name] = content.read().decode("utf-8", "surrogateescape")
    try:
        return Bundle(
            env=texts.get("env"),
            properties=DatabaseProperties.of(json.loads(texts["postgres/database.json"])),
            roles=[Role(**role) for role in json.loads(texts["postgres/roles.json"])],
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedObject(f"the config object is not complete ({error}). Use another backup.") from error


def roles_sql(roles: Sequence[Role]) -> str:
    """SQL that makes all roles, then their memberships; roles that exist make harmless errors in psql."""
    statements = [role.create for role in roles] + [grant for role in roles for grant in role.grants]
    return "".join(f"{statement};\n" for statement in statements)


def database_password(env_file: Path) -> str | None:
    """POSTGRES_PASSWORD of the stack's `.env`, if it has one."""
    if not env_file.exists():
        return None
    return parse_env(env_file.read_text(encoding="utf-8", errors="surrogateescape")).get("POSTGRES_PASSWORD")


_ENV_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*?)\s*$")


def parse_env(text: str) -> dict[str, str]:
    """The variables of a `.env` file, as Compose reads it (without interpolation)."""
    variables = {}
    for line in text.splitlines():
        found = _ENV_LINE.match(line)
        if found:
            variables[found[1]] = _unquoted(found[2])
    return variables


def _unquoted(value: str) -> str:
    if value[:1] == "'" and "'" in value[1:]:
        return value[1 : value.index("'", 1)]
    if value[:1] == '"' and len(value) > 1:
        quoted = re.match(r'"((?:[^"\\]|\\.)*)"', value)
        if quoted:
            return re.sub(
                r"\\(.)", lambda match: {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], match[1]), quoted[1]
            )
    return re.split(r"\s#", value)[0].rstrip()


def _commit(directory: Path) -> str | None:
    # safe.directory: the clone belongs to the admin user, and git would refuse to look at it as root.
    command = ["git", "-c", f"safe.directory={directory}", "-C", str(directory), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return None
    return done.stdout.decode().strip() if done.returncode == 0 else None


def _compose_files(containers: Sequence[Container]) -> Iterator[Path]:
    for container in containers:
        listed = container.labels.get("com.docker.compose.project.config_files", "")
        for name in listed.split(","):
            if name.startswith("/"):
                yield Path(name)


def _unique(paths: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o600
    tar.addfile(member, io.BytesIO(data))


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            member = tar.gettarinfo(arcname=name, fileobj=file)
            tar.addfile(member, io.BytesIO(file.read(member.size).ljust(member.size, b"\0")))
    except OSError as error:
        raise SourceError(
            f"cannot read {path} ({error.strerror}), so no backup was made. Earlier backups are untouched."
        ) from error
