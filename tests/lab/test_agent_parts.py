"""One attachment, one table, or a whole backup beside what is live: taken out, and nothing else touched."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from .agent_site import DATABASE, Site, site
from .docker import LabError

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Pi with one backup, on which something was lost since."""
    root = tmp_path_factory.mktemp("parts")
    with site(root / "pi", "agent-parts", local=root / "disk") as made:
        made.fill()
        made.must("run")
        made.sql("DELETE FROM users")
        (made.storage / "ab" / "cd" / "abcdefgh").unlink()
        yield made


@pytest.mark.parametrize("wanted", ["abcdefgh", "storage/ab/cd/abcdefgh"])
def test_one_attachment(pi: Site, tmp_path: Path, wanted: str) -> None:
    out = tmp_path / "out"
    pi.must("extract", "--file", wanted, str(out))
    assert out.read_bytes() == b"attachment"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    again = pi.run("extract", "--file", wanted, str(out))
    assert (again.code, "exists already" in again.err) == (1, True)


def test_a_file_that_no_backup_has(pi: Site, tmp_path: Path) -> None:
    for wanted, word in (("nosuch", "has no file"), ("zzmissing", "missing at the source already")):
        missing = pi.run("extract", "--file", wanted, str(tmp_path / "out"))
        assert (missing.code, word in missing.err) == (1, True), missing.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("wanted", "rows"), [("users", 1000), ("other.things", 2), ("public.users", 1000)])
def test_one_table(pi: Site, tmp_path: Path, wanted: str, rows: int) -> None:
    out = tmp_path / "out.sql"
    output = pi.must("extract", "--table", wanted, str(out))
    assert f"{rows} rows" in output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    pi.sql("CREATE DATABASE looking", "postgres")
    try:
        pi.sql("CREATE EXTENSION citext; CREATE EXTENSION pgcrypto; CREATE SCHEMA other", "looking")
        pi.sql(out.read_text(), "looking")
        assert pi.sql(f"SELECT count(*) FROM {wanted}", "looking") == str(rows)
    finally:
        pi.sql("DROP DATABASE looking", "postgres")
    assert pi.sql("SELECT count(*) FROM users") == "0"
    missing = pi.run("extract", "--table", "nosuch", str(tmp_path / "other"))
    assert (missing.code, "has no table public.nosuch" in missing.err) == (1, True)
    assert list((pi.root / "state" / "spool").iterdir()) == []


def test_a_whole_backup_beside(pi: Site) -> None:
    live = (pi.database_text(), pi.files_text())
    # What a power cut leaves of an opening is no open backup.
    made = json.loads(pi.must("list", "--json"))[0]["name"]
    for left in (made, "loomio_backup_20010101_000000"):
        pi.sql(f"CREATE DATABASE {left.replace('loomio_backup', 'loomio_open')}", "postgres")
    (pi.root / "state" / "opened" / ".opening" / "storage").mkdir(parents=True)
    output = pi.must("open")
    [name] = pi.sql("SELECT datname FROM pg_database WHERE datname LIKE 'loomio_open_%'").split()
    assert name in output
    assert pi.sql("SELECT count(*) FROM users", name) == "1000"
    with pytest.raises(LabError, match="read-only transaction"):
        pi.sql("DELETE FROM users", name)
    [opened] = (pi.root / "state" / "opened").iterdir()
    assert (opened / "storage" / "ab" / "cd" / "abcdefgh").read_bytes() == b"attachment"
    assert (opened / "uploads" / "link").is_symlink()
    twice = pi.run("open")
    assert (twice.code, "is open already" in twice.err) == (1, True)
    assert (pi.database_text(), pi.files_text()) == live
    pi.must("open", "--close")
    assert pi.sql("SELECT datname FROM pg_database WHERE datname LIKE 'loomio_%'") == DATABASE
    assert not (pi.root / "state" / "opened").exists()
    assert "nothing was open" in pi.must("open", "--close")
