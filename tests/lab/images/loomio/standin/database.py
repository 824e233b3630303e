"""The database: connections, and what `rake db:prepare` and `rake db:migrate` do to it."""

from pathlib import Path
from typing import Any

import psycopg  # type: ignore[import-not-found,unused-ignore]
from psycopg import conninfo, sql  # type: ignore[import-not-found,unused-ignore]

from . import release

SCHEMA = Path(__file__).with_name("schema.sql")


def connect(url: str) -> Any:
    """A connection in autocommit mode; raises psycopg.OperationalError."""
    return psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="loomio")


def prepare(url: str) -> str:
    """Creates the database when it is missing, the schema when there is none. Returns what was done."""
    try:
        connection = connect(url)
    except psycopg.OperationalError as error:
        # libpq reports a missing database in its message only.
        name = conninfo.conninfo_to_dict(url).get("dbname")
        if f'database "{name}" does not exist' not in str(error):
            raise
        _create_database(url, str(name))
        connection = connect(url)
    with connection:
        if _has_schema(connection):
            if release.is_pending(connection):
                release.migrate(connection)
            return f"schema is at version {_version(connection)}"
        with connection.transaction():
            connection.execute(SCHEMA.read_text())
            connection.execute(
                "INSERT INTO ar_internal_metadata (key, value, created_at, updated_at)"
                " VALUES ('environment', 'production', now(), now())"
            )
        return f"created the schema, version {_version(connection)}"


def migrate(url: str) -> str:
    """Brings the schema to this release; the first one has nothing to migrate."""
    with connect(url) as connection:
        if not _has_schema(connection):
            raise SystemExit("rake db:migrate: the database has no schema; run db:prepare")
        if release.is_pending(connection):
            release.migrate(connection)
            return f"schema is at version {_version(connection)}, migrated"
        return f"schema is at version {_version(connection)}, nothing to migrate"


def facts(url: str) -> dict[str, object]:
    """What the front page tells: counts and the newest things, all from the database."""
    with connect(url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM groups),"
            " (SELECT count(*) FROM topics), (SELECT count(*) FROM comments),"
            " (SELECT count(*) FROM active_storage_blobs),"
            " (SELECT title FROM discussions ORDER BY id DESC LIMIT 1),"
            " (SELECT max(created_at) FROM topic_items)"
        ).fetchone()
    names = ("users", "groups", "topics", "comments", "attachments", "newest-discussion", "newest-activity")
    return dict(zip(names, row, strict=True))


def _create_database(url: str, name: str) -> None:
    with connect(conninfo.make_conninfo(url, dbname="postgres")) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _has_schema(connection: Any) -> bool:
    row = connection.execute("SELECT to_regclass('public.schema_migrations') IS NOT NULL").fetchone()
    return bool(row[0])


def _version(connection: Any) -> str:
    return str(connection.execute("SELECT max(version) FROM schema_migrations").fetchone()[0])
