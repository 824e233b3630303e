"""The database comes back beside the live one: made, filled, counted. Nothing live is touched here."""

import threading
from collections.abc import Sequence

from loomio_backup.backup.bundle import Bundle
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.catalogue.objects import copy_object
from loomio_backup.database import database_access, postgres, statistics
from loomio_backup.database.postgres import MAINTENANCE_DATABASE, DatabaseProperties, Role
from loomio_backup.database.psql import Session, SqlError, identifier, literal, session
from loomio_backup.docker import Helper
from loomio_backup.errors import DamagedObject, RestoreError
from loomio_backup.progress import say
from loomio_backup.restore import restore_indexes
from loomio_backup.restore.restore_fed import REST, ROWS, fed
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.streams import Sink

NEW_PREFIX = "loomio_restore_"


def has_tables(helper: Helper, database: str) -> bool:
    """Whether a database exists and has user tables."""
    with session(helper, MAINTENANCE_DATABASE) as sql:
        if not postgres.database_exists(sql, database):
            return False
    with session(helper, database) as sql:
        return bool(postgres.table_names(sql))


def drop_leftovers(helper: Helper) -> None:
    """Drop databases that an interrupted restore left beside the live one."""
    with session(helper, MAINTENANCE_DATABASE) as sql:
        pattern = literal(f"^{NEW_PREFIX}[0-9a-f]{{8}}$")
        query = f"SELECT to_json(datname) FROM pg_catalog.pg_database WHERE datname ~ {pattern}"  # noqa: S608
        for name in list(sql.rows(query)):
            sql.execute(f"DROP DATABASE {identifier(name)} WITH (FORCE)")


def dropped_after_failure(helper: Helper) -> bool:
    """The same when something else has failed, which matters more than that this does, too. Where it is
    False, the next restore, or `settle`, drops them.
    """
    try:
        drop_leftovers(helper)
    except SqlError as error:
        say(f"database: what was laid beside could not be removed yet. {error}")
        return False
    return True


def restore_beside(
    helper: Helper,
    new: str,
    manifest: Manifest,
    bundle: Bundle,
    fetcher: Fetcher,
    stop: threading.Event | None = None,
) -> None:
    """Make the database `new`, fill it from the dump, and compare every table's rows with the manifest. When
    `stop` is set, nothing more goes into it.

    Raises DamagedObject when the dump is not what it should be, RestoreError when the server cannot take it.
    """
    refuse_older_server(helper, manifest)
    with session(helper, MAINTENANCE_DATABASE) as sql:
        make_roles(sql, bundle.roles)
        make_database(sql, new, bundle.properties)
    _fill(helper, new, manifest, fetcher, stop or threading.Event())
    _compare(helper, new, manifest)


def refuse_older_server(helper: Helper, manifest: Manifest) -> None:
    """Raise RestoreError where this PostgreSQL cannot read what a newer one dumped."""
    with session(helper, MAINTENANCE_DATABASE) as sql:
        version, number = postgres.server_version(sql)
    if number // 10000 < manifest.database.server_version_num // 10000:
        raise RestoreError(
            f"{manifest.name} was made by PostgreSQL {manifest.database.postgresql_version}, but this Pi "
            f"runs {version}, which is older. Nothing was changed. "
            "Set stack.images.postgres to the backup's version."
        )


def make_roles(sql: Session, roles: Sequence[Role]) -> None:
    """Make those of the roles that the server lacks."""
    # Password hashes are on their way: keep them out of the server's log.
    sql.execute("SET log_statement = 'none'; SET log_min_duration_statement = -1")
    sql.execute("SET log_min_error_statement = 'panic'")
    present = set(sql.rows("SELECT to_json(rolname) FROM pg_catalog.pg_roles"))
    missing = [role for role in roles if role.name not in present]
    for role in missing:
        say(f"database: making the role {role.name}")
        sql.execute(role.create)
    for role in missing:
        for grant in role.grants:
            sql.execute(grant)


def make_database(
    sql: Session, name: str, properties: DatabaseProperties, template: str = "template0"
) -> None:
    """Make a database with these properties: an empty one, or a copy of `template`, to which nobody may be
    connected.
    """
    statement = (
        f"CREATE DATABASE {identifier(name)} TEMPLATE {identifier(template)} "
        f"OWNER {identifier(properties.owner)} "
        f"ENCODING {literal(properties.encoding)} LC_COLLATE {literal(properties.collate)} "
        f"LC_CTYPE {literal(properties.ctype)} CONNECTION LIMIT {properties.connection_limit}"
    )
    if properties.provider == "icu" and properties.icu_locale:
        statement += f" LOCALE_PROVIDER icu ICU_LOCALE {literal(properties.icu_locale)}"
    elif properties.provider == "builtin" and properties.icu_locale:
        statement += f" LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(properties.icu_locale)}"
    sql.execute(statement)
    database = f"DATABASE {identifier(name)}"
    for more in database_access.setting_statements(database, properties.settings):
        sql.execute(more)
    for one in properties.role_settings:
        role = f"ROLE {identifier(one.role)} IN {database}"
        for more in database_access.setting_statements(role, one.settings):
            sql.execute(more)
    for more in database_access.grant_statements(name, properties.owner, properties.grants):
        sql.execute(more)
    if properties.comment is not None:
        sql.execute(f"COMMENT ON {database} IS {literal(properties.comment)}")


def _fill(helper: Helper, new: str, manifest: Manifest, fetcher: Fetcher, stop: threading.Event) -> None:
    entry = manifest.only("database")
    failure = f"pg_restore could not restore {entry.name}"
    beginning = b""

    def feed(sink: Sink) -> tuple[int, str]:
        nonlocal beginning
        kept = restore_indexes.Beginning(_Stoppable(sink, stop))
        content = copy_object(path, fetcher.identities, kept)
        beginning = bytes(kept.kept)
        return content

    with fetcher.file(entry) as path:
        content = fed(helper, ROWS, new, failure, feed)
        if content != (entry.plain_size, entry.plain_sha256):
            raise DamagedObject(f"{entry.name} holds something else than the manifest says.")
        say("database: the rows are there, their indexes are being made")
        if restore_indexes.holds_contents(helper, beginning):
            restore_indexes.build(helper, new, beginning)
        else:
            fed(helper, REST, new, failure, feed)


def _compare(helper: Helper, new: str, manifest: Manifest) -> None:
    expected = manifest.database.tables
    with session(helper, new) as sql:
        names = postgres.table_names(sql)
        found = postgres.count_all(sql, names)
        differing = sorted(
            table for table in expected.keys() | found.keys() if expected.get(table) != found.get(table)
        )
        if differing:
            table = differing[0]
            raise DamagedObject(
                f"{len(differing)} tables differ from what {manifest.name} counted; {table} has "
                f"{found.get(table)} rows instead of {expected.get(table)}."
            )
        # Without statistics the first visitors would wait for bad query plans.
        statistics.gather(sql)


class _Stoppable:
    """Takes bytes until it is told to stop; from then on it is as if nobody read them."""

    def __init__(self, sink: Sink, stop: threading.Event) -> None:
        self._sink = sink
        self._stop = stop

    def write(self, data: "bytes | memoryview", /) -> int | None:
        if self._stop.is_set():
            raise BrokenPipeError("the restore was told to end")
        return self._sink.write(data)
