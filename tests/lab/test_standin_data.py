"""A data set in a real PostgreSQL and real volumes: equal when nothing happened, each damage named."""

from collections.abc import Iterator

import pytest

from .data import Spec
from .data.compare import Comparison, compare
from .data.stack import Stack

pytestmark = pytest.mark.lab

SPEC = Spec(seed=11, db_mb=5, files_mb=5)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as stack:
        stack.start_database()
        stack.start_app()
        stack.load(SPEC)
        yield stack


def test_what_was_loaded_is_equal(stack: Stack) -> None:
    """Every table back from PostgreSQL byte for byte: the generator writes its canonical renderings."""
    comparison = stack.compare(SPEC)
    assert list(comparison.differences()) == []
    assert comparison.equal
    assert comparison.tables >= 40 and comparison.rows > 15_000
    assert comparison.files > 50 and comparison.attachments > 30


def test_another_seed_is_not_equal(stack: Stack) -> None:
    comparison = stack.compare(Spec(12, 5, 5))
    assert comparison.rows_differing > 10_000
    assert comparison.files_differing


DAMAGES = {
    "row changed": (
        "UPDATE comments SET body = body || '!' WHERE id = 1234",
        ["comments 1234 changed in body"],
    ),
    "one invisible character": (
        "UPDATE users SET short_bio = short_bio || U&'\\200B' WHERE id = 7",
        ["users 7 changed in short_bio"],
    ),
    "null became empty": (
        "UPDATE forward_email_rules SET email = '' WHERE id = 2",
        ["forward_email_rules 2 changed in email"],
    ),
    "jsonb changed": (
        "UPDATE versions SET object_changes = object_changes || '{\"x\": 1}' WHERE id = 1",
        ["versions 1 changed in object_changes"],
    ),
    "row deleted": ("DELETE FROM reactions WHERE id = 1", ["reactions 1 missing"]),
    "row added": (
        "INSERT INTO tags (id, name) VALUES (900000, 'new')",
        ["tags 900000 extra"],
    ),
    "empty table filled": (
        "INSERT INTO demos (id, author_id, group_id, name, recorded_at) VALUES (1, 1, 1, 'x', now())",
        ["demos 1 extra"],
    ),
    "large bytea": (
        "UPDATE solid_cache_entries SET value = set_byte(value, 9, 255 - get_byte(value, 9)) WHERE id = 1",
        ["solid_cache_entries 1 changed in value"],
    ),
    "sequence": (
        "SELECT setval('notifications_id_seq', 5)",
        [
            "sequences: notifications_id_seq 1234567890 is missing",
            "sequences: notifications_id_seq 5 is not as it was",
        ],
    ),
    "index": (
        "DROP INDEX pg_search_documents_searchable_index",
        ["indexes: pg_search_documents_searchable_index is missing"],
    ),
    "view": ("DROP VIEW group_member_counts", ["table or view group_member_counts is missing"]),
    "default": (
        "ALTER TABLE comments ALTER secret_token DROP DEFAULT",
        ["uuid defaults: 4 is missing", "uuid defaults: 3 is not as it was"],
    ),
    "extension": ("DROP EXTENSION pg_stat_statements", ["extensions: pg_stat_statements is missing"]),
    "migration": (
        "DELETE FROM schema_migrations WHERE version = '20240402015741'",
        ["migrations: 20240402015741 is missing"],
    ),
    "foreign key": (
        "ALTER TABLE sessions DROP CONSTRAINT sessions_user_id_fkey",
        None,
    ),
    "table": ("DROP TABLE reactions", None),
    "column": ("ALTER TABLE reactions DROP COLUMN reaction", None),
    "extra table": ("CREATE TABLE left_over (x int)", ["table or view left_over is extra"]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_in_the_database_is_named(stack: Stack, name: str) -> None:
    """Each on a copy of the database, so that they do not add up."""
    statement, expected = DAMAGES[name]
    stack.sql("DROP DATABASE IF EXISTS damaged WITH (FORCE)", "postgres")
    stack.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'loomio_production'",
        "postgres",
    )
    stack.sql("CREATE DATABASE damaged TEMPLATE loomio_production", "postgres")
    stack.sql(statement, "damaged")
    comparison = compare_database(stack, "damaged")
    assert not comparison.equal
    if expected is not None:
        assert list(comparison.differences()) == expected
    elif name == "foreign key":
        assert any(line.startswith("constraints: f ") for line in comparison.structure)
    else:
        assert "reactions" in comparison.tables_differing
        assert any("reactions" in line for line in comparison.structure)


def compare_database(stack: Stack, database: str) -> Comparison:
    return compare(SPEC, lambda sql: stack.run_sql(sql, database), stack.list_files)


def test_damage_in_the_files_is_named(stack: Stack) -> None:
    files = [fact for fact in stack.list_files() if fact.type == "file" and fact.size > 100]
    blobs = [fact.path for fact in files if fact.path.startswith("storage/")]
    lost, flipped, opened, given = blobs[:4]
    stack.in_files(
        f"mkdir /keep; cp -a {' '.join(blobs[:4])} /keep; tar -cf files/saved.tar {' '.join(blobs[:4])}"
    )
    stack.in_files(
        f"rm {lost}; t=$(stat -c %Y {flipped});"
        f" printf X | dd of={flipped} bs=1 seek=50 conv=notrunc status=none;"
        f" touch -d @$t {flipped}; chmod 0666 {opened}; chown 5:5 {given}"
    )
    try:
        comparison = stack.compare(SPEC)
        assert {str(difference) for difference in comparison.files_differing} == {
            f"{lost}: missing",
            f"{flipped}: content",
            f"{opened}: mode",
            f"{given}: owner",
            "files/saved.tar: extra",
        }
        assert len(comparison.attachments_broken) == 2
        assert comparison.rows_differing == 0
    finally:
        stack.in_files("tar -xpf files/saved.tar; rm files/saved.tar")
    assert list(stack.compare(SPEC).differences()) == []
