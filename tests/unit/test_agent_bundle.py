"""`.env` as Compose reads it, and the config object's tar."""

from __future__ import annotations

import io
import tarfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from loomio_backup.backup import bundle
from loomio_backup.backup.bundle import parse_env
from loomio_backup.backup.dump import Dump
from loomio_backup.catalogue.objects import Digests
from loomio_backup.database.database_access import Grant, RoleSettings, grant_statements
from loomio_backup.database.postgres import DatabaseProperties, Role

PROPERTIES = DatabaseProperties(
    owner="loomio",
    encoding="UTF8",
    collate="en_US.utf8",
    ctype="en_US.utf8",
    provider="libc",
    icu_locale=None,
    connection_limit=-1,
    settings=["statement_timeout=5s"],
    grants=[Grant("loomio", "CREATE", True), Grant(None, "TEMPORARY", False)],
    comment="Loomio's",
    role_settings=[RoleSettings("reader", ["work_mem=4MB"])],
)
NEWER = ("grants", "comment", "role_settings")
ROLES = [
    Role("loomio", "CREATE ROLE loomio WITH SUPERUSER", []),
    Role("reader", "CREATE ROLE reader WITH LOGIN", ["GRANT pg_read_all_data TO reader"]),
]


def _dump() -> Dump:
    return Dump(
        digests=Digests(0, "", 0, "", ""),
        snapshot_at=datetime.now(UTC),
        tables={},
        version="17",
        version_num=170000,
        schema_migration=None,
        properties=PROPERTIES,
        roles=ROLES,
    )


def test_env_lines() -> None:
    text = """
# a comment
PLAIN=value
export EXPORTED=1
SPACED = around
EMPTY=
HASH=with#hash
COMMENT=value # comment
SINGLE='it is # raw $HOME \\n'
DOUBLE="a \\"quoted\\" word\\nand \\\\ more" # comment
URL=postgresql://loomio:p%40ss@db/loomio?x=1&y=2
not a line
"""
    assert parse_env(text) == {
        "PLAIN": "value",
        "EXPORTED": "1",
        "SPACED": "around",
        "EMPTY": "",
        "HASH": "with#hash",
        "COMMENT": "value",
        "SINGLE": "it is # raw $HOME \\n",
        "DOUBLE": 'a "quoted" word\nand \\ more',
        "URL": "postgresql://loomio:p%40ss@db/loomio?x=1&y=2",
    }


def test_collected_files_are_read_back(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("SECRET_COOKIE_TOKEN=ü\n")
    operator = tmp_path / "operator"
    operator.mkdir()
    (operator / "pi.yml").write_text("hosts: {}\n")
    missing = tmp_path / "override.yml"
    collected = bundle.collect(env, [env, operator, missing], [], {"host": "pi"}, _dump())
    assert collected.warnings == [f"{missing} does not exist, so it is not in the backup"]

    found = bundle.read(io.BytesIO(collected.tar))
    assert found.env == "SECRET_COOKIE_TOKEN=ü\n"
    assert found.properties == PROPERTIES
    assert found.roles == ROLES
    with tarfile.open(fileobj=io.BytesIO(collected.tar)) as tar:
        names = set(tar.getnames())
        assert names >= {"env", "stack.json", "postgres/roles.sql", f"files{operator}/pi.yml"}
        roles = tar.extractfile("postgres/roles.sql")
        assert roles is not None
        assert roles.read().decode().splitlines()[-1] == "GRANT pg_read_all_data TO reader;"


def test_a_missing_env_is_a_warning(tmp_path: Path) -> None:
    collected = bundle.collect(tmp_path / ".env", [], [], {}, _dump())
    assert collected.warnings
    assert bundle.read(io.BytesIO(collected.tar)).env is None


def test_properties_of_an_older_backup_are_read() -> None:
    older = {key: value for key, value in asdict(PROPERTIES).items() if key not in NEWER}
    found = DatabaseProperties.of(older)
    assert found == replace(PROPERTIES, grants=None, comment=None, role_settings=[])
    assert list(grant_statements("x", "loomio", found.grants)) == []


def test_no_privilege_at_all_is_not_the_default() -> None:
    assert list(grant_statements("x", "loomio", [])) == ['REVOKE ALL ON DATABASE "x" FROM PUBLIC, "loomio"']
