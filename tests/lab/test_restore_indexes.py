"""Indexes, constraints and triggers come back the same whether they are made on several connections, out of
the beginning of a dump, or out of all of it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from loomio_backup import docker as engine
from loomio_backup.docker import Helper
from loomio_backup.errors import RestoreError
from loomio_backup.restore import restore_indexes
from loomio_backup.restore.restore_fed import REST, ROWS, fed
from loomio_backup.streams import Sink, write_all

from .agent_site import DATABASE, PASSWORD, USER, Site, site

pytestmark = pytest.mark.lab

_MORE = """
CREATE MATERIALIZED VIEW addresses AS SELECT email FROM users;
CREATE UNIQUE INDEX ON addresses (email);
CREATE TABLE memberships (id serial PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, note text);
INSERT INTO memberships (user_id, note) SELECT id, md5(id::text) FROM users;
CREATE INDEX ON memberships USING gin (to_tsvector('simple', note));
CREATE INDEX ON memberships (user_id) WHERE note > 'c';
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noting BEFORE UPDATE ON memberships FOR EACH ROW EXECUTE FUNCTION noted();
"""
_DUMP = f'pg_dump -Fc -Z0 -d "$1" > {engine.WORK}/dump'


@dataclass
class Bench:
    """A source, and its dump as bytes."""

    pi: Site
    helper: Helper
    dump: bytes

    def rows_of(self, database: str) -> None:
        self.pi.sql(f"CREATE DATABASE {database}")
        self.fed(ROWS, database)

    def fed(self, script: str, database: str) -> None:
        fed(self.helper, script, database, "failed", self._feed)

    def _feed(self, sink: Sink) -> bool:
        write_all(sink, self.dump)
        return True

    def schema(self, database: str) -> list[str]:
        dump = ("docker", "exec", self.pi.container, "pg_dump", "-U", USER, "--schema-only", database)
        text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
        # Each dump has a word of its own against injected commands.
        return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]

    def addresses(self, database: str) -> str:
        count = "SELECT count(*) FROM addresses"
        psql = ("psql", "-XAtq", "-U", USER, "-d", database, "-c", count)
        return subprocess.check_output(("docker", "exec", self.pi.container, *psql), text=True).strip()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("indexes")
    with site(root / "pi", "agent-indexes", local=root / "disk") as pi:
        pi.fill()
        pi.sql(_MORE)
        work = root / "work"
        work.mkdir(mode=0o700)
        database = engine.service_container(pi.project, "db")
        with engine.helper(pi.project, database, USER, PASSWORD, work) as helper:
            assert helper.start(_DUMP, DATABASE).wait() == 0
            yield Bench(pi, helper, (work / "dump").read_bytes())


def test_both_ways_make_what_the_source_has(bench: Bench) -> None:
    source = bench.schema(DATABASE)
    bench.rows_of("rows")
    assert len(bench.schema("rows")) < len(source), "nothing was left to be made"
    assert bench.helper.start(f"test ! -e {engine.WORK}/restore").wait() == 0
    restore_indexes.build(bench.helper, "rows", bench.dump[:200_000])
    assert bench.schema("rows") == source
    assert bench.addresses("rows") == "1000"
    bench.rows_of("again")
    bench.fed(REST, "again")
    assert bench.schema("again") == source
    assert bench.addresses("again") == "1000"


def test_nothing_of_the_dump_stays(bench: Bench) -> None:
    bench.rows_of("clean")
    restore_indexes.build(bench.helper, "clean", bench.dump)
    assert bench.helper.start('test -z "$(ls -A /dev/shm)"').wait() == 0


def test_the_beginning_is_enough_when_it_holds_all_the_contents(bench: Bench) -> None:
    assert restore_indexes.holds_contents(bench.helper, bench.dump)
    assert restore_indexes.holds_contents(bench.helper, bench.dump[:200_000])
    for size in (0, 1, 100, 5000):
        assert not restore_indexes.holds_contents(bench.helper, bench.dump[:size]), size


def test_an_index_that_cannot_be_made_is_an_error(bench: Bench) -> None:
    bench.rows_of("twice")
    double = "INSERT INTO users (id, email) SELECT 1, 'twice@example.org'"
    psql = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "twice", "-c", double)
    subprocess.run(("docker", "exec", bench.pi.container, *psql), check=True)
    with pytest.raises(RestoreError, match=r"could not make the indexes of twice[\s\S]*users_pkey"):
        restore_indexes.build(bench.helper, "twice", bench.dump)


def test_the_beginning_is_kept_and_all_of_it_passed_on() -> None:
    passed: list[bytes] = []

    class Slow:
        def write(self, data: bytes | memoryview, /) -> int:
            passed.append(bytes(data[:3]))
            return len(passed[-1])

    sink = restore_indexes.Beginning(Slow(), longest=10)
    for _ in range(3):
        write_all(sink, b"abcdefg")
    assert b"".join(passed) == b"abcdefg" * 3
    assert bytes(sink.kept) == b"abcdefgabc"
