"""What PostgreSQL's planner has to know about the rows of a database that has just been filled."""

from loomio_backup.database import postgres
from loomio_backup.database.psql import Session

# Some three hundred rows of each table: a thirtieth of the usual work, and enough for plans that do. Every
# table is a transaction of its own, which an SD card takes its time to confirm.
_SKETCH = "SET default_statistics_target = 1; SET synchronous_commit = off"
_CONFIRMED = "RESET default_statistics_target; RESET synchronous_commit; ANALYZE pg_catalog.pg_class"
"""Ends with something written that waits until it, and all that came before, is on the disk."""
_AT_ONCE = 100
"""Tables that one statement names: a transaction each all the same."""


def gather(sql: Session) -> None:
    """Statistics for every user table: a sketch at once, so that nobody waits longer for their data; the rest
    is gathered by autovacuum while the app runs. Where that is off, all of them at once. When this returns,
    what was written into the database before is on the disk, however it was committed.

    Raises SqlError.
    """
    if sql.value("SELECT to_json(current_setting('autovacuum'))") != "on":
        sql.execute("ANALYZE")
        return
    # Autovacuum never looks at a partitioned table itself.
    for table in postgres.table_names(sql, "'p'"):
        sql.execute(f"ANALYZE {table}")
    sql.execute(_SKETCH)
    # Of one whose columns are named, PostgreSQL goes on counting what is not analyzed yet
    # (do_analyze_rel in commands/analyze.c), so that autovacuum sees that there is work.
    tables = postgres.tables_with_columns(sql, "'r', 'm'")
    for start in range(0, len(tables), _AT_ONCE):
        sql.execute(f"ANALYZE {', '.join(tables[start : start + _AT_ONCE])}")
    sql.execute(_CONFIRMED)
