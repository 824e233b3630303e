"""Who may do what with a database as a whole, and what each role finds set in it: neither a dump of its
content nor `CREATE DATABASE` brings that back.
"""

# ruff: noqa: S608
# Names in these queries are quoted by psql.literal and psql.identifier.

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loomio_backup.database.psql import Session, identifier, literal

# PostgreSQL keeps the values of these settings as lists that are quoted already.
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "temp_tablespaces",
}


@dataclass(frozen=True)
class Grant:
    """One privilege on a database: CONNECT, TEMPORARY or CREATE. `grantee` None is everybody; `grantable`:
    WITH GRANT OPTION.
    """

    grantee: str | None
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class RoleSettings:
    """`ALTER ROLE … IN DATABASE … SET`, as `name=value`."""

    role: str
    settings: list[str]


def grants(session: Session, database: str) -> list[Grant] | None:
    """The privileges on a database in their order; None while they are PostgreSQL's defaults."""
    changed = f"FROM pg_catalog.pg_database WHERE datname = {literal(database)} AND datacl IS NOT NULL"
    if not session.value(f"SELECT to_json(count(*)) {changed}"):
        return None
    query = (
        "SELECT json_build_object('grantee', r.rolname, 'privilege', a.privilege_type, "
        "'grantable', a.is_grantable) "
        f"FROM (SELECT datacl {changed}) d, "
        "LATERAL aclexplode(d.datacl) WITH ORDINALITY "
        "AS a (grantor, grantee, privilege_type, is_grantable, n) "
        "LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee ORDER BY a.n"
    )
    return [Grant(**row) for row in session.rows(query)]


def comment(session: Session, database: str) -> str | None:
    """What `COMMENT ON DATABASE` said."""
    found = session.value(
        "SELECT to_json(pg_catalog.shobj_description(oid, 'pg_database')) FROM pg_catalog.pg_database "
        f"WHERE datname = {literal(database)}"
    )
    return None if found is None else str(found)


def role_settings(session: Session, database: str) -> list[RoleSettings]:
    """The settings that roles have in a database only."""
    query = (
        "SELECT json_build_object('role', r.rolname, 'settings', s.setconfig) "
        "FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase "
        f"JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE d.datname = {literal(database)} "
        "ORDER BY r.rolname"
    )
    return [RoleSettings(**row) for row in session.rows(query)]


def setting_statements(subject: str, settings: Sequence[str]) -> Iterator[str]:
    """SQL that gives a database or a role (`DATABASE "x"`, `ROLE "y" IN DATABASE "x"`) its settings."""
    for setting in settings:
        key, _, value = setting.partition("=")
        written = value if key in _LISTS else literal(value)
        yield f"ALTER {subject} SET {identifier(key)} TO {written}"


def grant_statements(database: str, owner: str, granted: Sequence[Grant] | None) -> Iterator[str]:
    """SQL that gives a new database these privileges, and no others."""
    if granted is None:
        return
    place = f"DATABASE {identifier(database)}"
    yield f"REVOKE ALL ON {place} FROM PUBLIC, {identifier(owner)}"
    for one in granted:
        grantee = "PUBLIC" if one.grantee is None else identifier(one.grantee)
        yield (
            f"GRANT {one.privilege} ON {place} TO {grantee}{' WITH GRANT OPTION' if one.grantable else ''}"
        )
