"""A newer major version of PostgreSQL: the data goes over, the old files are kept, and it all leads back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.restore import keeping, restore_switch
from loomio_backup.restore.keeping import Kept
from loomio_backup.update import cluster
from loomio_backup.update.update_journal import Cluster

from . import images
from .agent_site import DATABASE, USER
from .docker import docker, exists
from .update_site import UpdateSite, older_postgres, release, update_site

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into Docker's volumes"),
]


ACCESS = (
    f"SELECT datacl FROM pg_database WHERE datname = '{DATABASE}'; "
    "SELECT setrole::regrole, setconfig FROM pg_db_role_setting ORDER BY 1::text"
)


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpdateSite]:
    root = tmp_path_factory.mktemp("update-postgres")
    with update_site(root, "agent-update-pg", older_postgres()) as made:
        yield made


def rows(pi: UpdateSite) -> str:
    """All rows of all tables, as pg_dump writes them; what else it writes differs from server to server."""
    dumped = docker("exec", pi.of("db"), "pg_dump", "-U", USER, "--data-only", DATABASE)
    skipped = ("--", "SET ", "\\restrict", "\\unrestrict")
    return "\n".join(line for line in dumped.splitlines() if not line.startswith(skipped))


def server(pi: UpdateSite) -> str:
    return docker("exec", pi.of("db"), "cat", "/pgdata/PG_VERSION")


@pytest.mark.long
def test_both_come_back_together_when_the_app_does_not_take_over(pi: UpdateSite) -> None:
    before, text = rows(pi), pi.database_text()
    outcome = pi.run(
        "update",
        "--no-rehearsal",
        "--postgres",
        images.stack_image("postgres:17"),
        "--loomio",
        release("3.7.0"),
    )
    assert outcome.code == 1
    assert "from PostgreSQL 15" in outcome.out
    assert "the update was taken back" in outcome.err
    assert (server(pi), pi.app_answers()) == ("15", "3.5.0")
    assert rows(pi) == before
    assert pi.database_text() == text
    assert pi.left_beside() == []
    assert docker("volume", "ls", "-q", "--filter", f"name={pi.project}_db-data-") == ""


@pytest.mark.long
def test_the_data_goes_over_and_the_old_files_are_kept(pi: UpdateSite) -> None:
    pi.sql("CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT SELECT ON users TO reader")
    pi.sql(
        f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC; GRANT CONNECT ON DATABASE {DATABASE} TO reader"
    )
    pi.sql(f"ALTER ROLE reader IN DATABASE {DATABASE} SET work_mem = '8MB'")
    before, access = rows(pi), pi.sql(ACCESS)
    with Catalogue(pi.root / "state" / "catalogue.sqlite") as catalogue:
        aside = Kept("0123abcd", datetime.now(UTC), "loomio_backup_x", 1, "loomio_before_20260101_000000")
        keeping.rewrite(catalogue, [aside])
        refused = pi.run("update", "--no-rehearsal", "--postgres", images.stack_image("postgres:17"))
        assert (refused.code, "loomio-backup undo --forget" in refused.err) == (1, True)
        keeping.rewrite(catalogue, [])
    said = pi.must("update", "--no-rehearsal", "--postgres", images.stack_image("postgres:17"))
    assert (server(pi), pi.app_answers()) == ("17", "3.5.0")
    assert rows(pi) == before
    grants = "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'reader'"
    assert pi.sql(grants).strip() == "1"
    assert pi.sql(ACCESS) == access
    kept = pi.result()["old_cluster"]
    assert f"docker volume rm {kept}" in said
    mountpoint = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", kept))
    assert (mountpoint / "PG_VERSION").read_text().strip() == "15"
    docker("volume", "rm", kept)
    assert pi.left_beside() == []
    pi.must("run")
    outcome = pi.run("update", "--postgres", older_postgres())
    assert outcome.code == 1
    assert "is PostgreSQL 15, and 17 runs" in outcome.err


@pytest.mark.parametrize("moved", ["nothing", "out", "in"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_files_that_were_on_their_way_are_found_again(moved: str, count: int) -> None:
    project = f"agent-update-moves-{os.getpid()}"
    names = [f"{project}_{kind}" for kind in ("live", "new", "old")]
    docker("volume", "create", names[0])
    live = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", names[0]))
    steps: list[str] = []
    live.chmod(0o700)
    made = Cluster(live=live, dress=restore_switch.attributes(live), new=names[1], old=names[2])
    try:
        places = [cluster.directory_of(name) for name in names]
        for number in range(3):
            (live / f"old-{number}").write_text("old")
            (live / f"common-{number}").write_text("old")
            (places[1] / f"common-{number}").write_text("new")
        # As a power cut leaves it: so many files had gone.
        order = {"nothing": [], "out": [(live, places[2])], "in": [(live, places[2]), (places[1], live)]}[
            moved
        ]
        for number, (source, target) in enumerate(order):
            last = number == len(order) - 1
            for path in sorted(source.iterdir())[: count if last else None]:
                path.rename(target / path.name)
        made.moved = moved  # type: ignore[assignment]
        cluster.let_back(made, lambda: steps.append(made.moved))
        found = {path.name: path.read_text() for path in live.iterdir()}
        assert found == {f"{kind}-{number}": "old" for kind in ("old", "common") for number in range(3)}
        assert live.stat().st_mode & 0o777 == 0o700
        assert made.moved == "nothing"
        assert not any(exists("volume", name) for name in names[1:])
    finally:
        docker("volume", "rm", "-f", *names)
