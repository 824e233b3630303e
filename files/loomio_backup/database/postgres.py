"""What the agent asks PostgreSQL: tables, row counts, and what a dump does not hold (roles, properties).

Every query returns JSON, so that no name, however odd, can be misread.
"""

# ruff: noqa: S608
# Names in these queries come from PostgreSQL itself (format %I) or are quoted by psql.literal.

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loomio_backup.database import database_access
from loomio_backup.database.database_access import Grant, RoleSettings
from loomio_backup.database.psql import Session, literal, session
from loomio_backup.docker import Helper
from loomio_backup.errors import SourceError
from loomio_backup.progress import Ticker

MAINTENANCE_DATABASE = "postgres"
_AT_ONCE = 100
"""Tables that one statement names."""
BOOKKEEPING = r"schema_migrations|ar_internal_metadata|solid_\w+"
"""Tables (a regular expression) of the schema public that an app fills which was merely started, so they are
no data: Rails' own two, and those of its queue, in which each worker is entered.
"""

# What an application keeps its data in: no system schemas, no temporary tables, nothing that an extension
# owns (pg_dump leaves that to CREATE EXTENSION).
_TABLES = """
SELECT to_json({what})
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ({kinds}) AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_)'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1::text COLLATE "C"
"""


# After a power cut a database has to read its log first, which can take minutes from an SD card. What does
# not even listen is not on its way up: soon after its container was started it is.
_STARTING_SECONDS, _SILENT_SECONDS = 600, 15
_STARTING, _SILENT = 1, 2
"""Exit codes of pg_isready(1)."""


def wait_until_up(helper: Helper) -> None:
    """Let a server that is starting finish that. Raises SourceError when it does not get there."""
    began, ticker = time.monotonic(), Ticker("database")
    while (code := helper.start("exec pg_isready -q -t 5").wait()) in (_STARTING, _SILENT):
        waited = time.monotonic() - began
        if waited > (_STARTING_SECONDS if code == _STARTING else _SILENT_SECONDS):
            what = "is still starting up" if code == _STARTING else "does not answer"
            raise SourceError(
                f"the database {what} after {waited:.0f} s. Earlier backups are untouched. Look at its log "
                "(docker compose logs --tail 50 db), then run the same again."
            )
        ticker.tick(f"starting up, waited {waited:.0f} s")
        time.sleep(0.5)


@dataclass(frozen=True)
class Role:
    """A role as SQL that makes it (password hash included: handle as a secret) and what it is a member of."""

    name: str
    create: str
    grants: list[str]


@dataclass(frozen=True)
class DatabaseProperties:
    """What it takes to make an equal one; `settings` are `ALTER DATABASE … SET` values. The last three
    are not in older backups; `grants` None: PostgreSQL's defaults.
    """

    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    icu_locale: str | None
    connection_limit: int
    settings: list[str]
    grants: list[Grant] | None = None
    comment: str | None = None
    role_settings: list[RoleSettings] = field(default_factory=list)

    @classmethod
    def of(cls, document: dict[str, Any]) -> "DatabaseProperties":
        """From what `dataclasses.asdict` made of it. Raises TypeError when that is something else."""
        granted = document.get("grants")
        nested = {
            "grants": None if granted is None else [Grant(**one) for one in granted],
            "role_settings": [RoleSettings(**one) for one in document.get("role_settings", [])],
        }
        return cls(**{**document, **nested})


_NAME = "format('%I.%I', n.nspname, c.relname)"
_WITH_COLUMNS = f"""{_NAME} || (
  SELECT ' (' || string_agg(format('%I', attname), ', ') || ')' FROM pg_catalog.pg_attribute
  WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)"""


def table_names(session: Session, kinds: str = "'r'") -> list[str]:
    """Quoted `schema.table` of every user table: 'r' ordinary, 'p' partitioned (its rows are its parts)."""
    return [str(name) for name in session.rows(_TABLES.format(what=_NAME, kinds=kinds))]


def tables_with_columns(session: Session, kinds: str) -> list[str]:
    """The same with the columns of each, as `schema.table (column, …)`; a table without any is left out."""
    found = session.rows(_TABLES.format(what=_WITH_COLUMNS, kinds=kinds))
    return [str(name) for name in found if name is not None]


def lockable_names(session: Session) -> list[str]:
    """Every user table that `LOCK TABLE` takes."""
    return table_names(session, "'r', 'p'")


def count_rows(session: Session, table: str) -> int:
    """Rows of one table (a name as `table_names` gives it)."""
    return int(session.value(f"SELECT to_json(count(*)) FROM {table}"))


def count_all(session: Session, tables: Sequence[str]) -> dict[str, int]:
    """Rows of each of these tables."""
    found: dict[str, int] = {}
    # One question for each of hundreds of tables would be mostly journeys to the server and back.
    for some in (tables[start : start + _AT_ONCE] for start in range(0, len(tables), _AT_ONCE)):
        counts = (f"SELECT json_build_array({literal(table)}, count(*)) FROM {table}" for table in some)
        found.update(session.rows(" UNION ALL ".join(counts)))
    return found


def is_bookkeeping(table: str) -> bool:
    """Whether a table (a name as in manifests) says nothing about people's data."""
    return re.fullmatch(rf"public\.({BOOKKEEPING})", table) is not None


def first_table_with_rows(session: Session, *, but_bookkeeping: bool = False) -> str | None:
    """Some user table that is not empty, or None when all are."""
    for table in table_names(session):
        ignored = but_bookkeeping and is_bookkeeping(table)
        if not ignored and session.value(f"SELECT to_json(EXISTS (SELECT FROM {table}))"):
            return table
    return None


def first_live_table(helper: Helper, database: str) -> str | None:
    """A table of this database that holds people's data, or None when there is no such data (or no such
    database).
    """
    with session(helper, MAINTENANCE_DATABASE) as sql:
        if not database_exists(sql, database):
            return None
    with session(helper, database) as sql:
        return first_table_with_rows(sql, but_bookkeeping=True)


def has_columns(session: Session, table: str, *columns: str) -> bool:
    """Whether a table that an unqualified name finds has all these columns."""
    listed = ", ".join(literal(column) for column in columns)
    found = session.value(
        "SELECT to_json(count(*)) FROM pg_catalog.pg_attribute "
        f"WHERE attrelid = to_regclass({literal('public.' + table)}) AND NOT attisdropped "
        f"AND attname IN ({listed})"
    )
    return bool(found == len(columns))


def schema_migration(session: Session) -> str | None:
    """The newest migration that Rails recorded, or None without such a table."""
    if not has_columns(session, "schema_migrations", "version"):
        return None
    found = session.value("SELECT to_json(max(version)) FROM public.schema_migrations")
    return None if found is None else str(found)


def server_version(session: Session) -> tuple[str, int]:
    """`("17.6 (Debian …)", 170006)`."""
    found = session.value(
        "SELECT json_build_array(current_setting('server_version'), "
        "current_setting('server_version_num')::int)"
    )
    return str(found[0]), int(found[1])


def database_exists(session: Session, name: str) -> bool:
    """Whether the server has a database of this name."""
    query = f"SELECT to_json(EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = {literal(name)}))"
    return bool(session.value(query))


def database_properties(session: Session, name: str) -> DatabaseProperties:
    """The properties of a database that a dump of its content does not restore."""
    # The columns of the locale provider came with PostgreSQL 15 and were renamed in 17: ask by name through
    # JSON.
    row: dict[str, Any] = session.value(
        f"SELECT to_json(d) FROM pg_catalog.pg_database d WHERE datname = {literal(name)}"
    )
    names: list[str] = session.value(
        "SELECT json_build_array(pg_get_userbyid(datdba), pg_encoding_to_char(encoding)) "
        f"FROM pg_catalog.pg_database WHERE datname = {literal(name)}"
    )
    settings = session.value(
        "SELECT to_json(s.setconfig) FROM pg_catalog.pg_db_role_setting s "
        "JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase "
        f"WHERE s.setrole = 0 AND datname = {literal(name)}"
    )
    return DatabaseProperties(
        owner=names[0],
        encoding=names[1],
        collate=row["datcollate"],
        ctype=row["datctype"],
        provider={"i": "icu", "b": "builtin"}.get(row.get("datlocprovider", "c"), "libc"),
        icu_locale=row.get("datlocale") or row.get("daticulocale"),
        connection_limit=row["datconnlimit"],
        settings=settings or [],
        grants=database_access.grants(session, name),
        comment=database_access.comment(session, name),
        role_settings=database_access.role_settings(session, name),
    )


_ROLES = """
SELECT json_build_object(
  'name', a.rolname,
  'create', format('CREATE ROLE %I WITH %s%s%s%s%s%s%s CONNECTION LIMIT %s%s%s',
      a.rolname,
      CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,
      CASE WHEN rolinherit THEN ' INHERIT' ELSE ' NOINHERIT' END,
      CASE WHEN rolcreaterole THEN ' CREATEROLE' ELSE ' NOCREATEROLE' END,
      CASE WHEN rolcreatedb THEN ' CREATEDB' ELSE ' NOCREATEDB' END,
      CASE WHEN rolcanlogin THEN ' LOGIN' ELSE ' NOLOGIN' END,
      CASE WHEN rolreplication THEN ' REPLICATION' ELSE ' NOREPLICATION' END,
      CASE WHEN rolbypassrls THEN ' BYPASSRLS' ELSE ' NOBYPASSRLS' END,
      rolconnlimit,
      CASE WHEN rolpassword IS NULL THEN '' ELSE format(' PASSWORD %L', rolpassword) END,
      CASE WHEN rolvaliduntil IS NULL THEN '' ELSE format(' VALID UNTIL %L', rolvaliduntil) END),
  'grants', coalesce((SELECT json_agg(
                 format('GRANT %I TO %I%s', g.rolname, a.rolname,
                        CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)
                 ORDER BY g.rolname)
             FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
             WHERE m.member = a.oid), '[]'))
FROM (SELECT oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
             rolbypassrls, rolconnlimit, rolvaliduntil, {password} AS rolpassword FROM {source}) a
WHERE a.rolname !~ '^pg_'
ORDER BY a.rolname
"""


def roles(session: Session) -> list[Role]:
    """Every role but PostgreSQL's own. Only a superuser sees password hashes; without them they are left
    out.
    """
    superuser = session.value(
        "SELECT to_json(rolsuper) FROM pg_catalog.pg_roles WHERE rolname = current_user"
    )
    if superuser:
        query = _ROLES.format(password="rolpassword", source="pg_catalog.pg_authid")  # noqa: S106 - a column
    else:
        query = _ROLES.format(password="NULL::text", source="pg_catalog.pg_roles")  # noqa: S106 - a column
    return [Role(**value) for value in session.rows(query)]
