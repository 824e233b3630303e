"""The older backup scripts' `.sql.enc` comes back: from a path, from a store, and never half."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.encryption import fernet
from tests.unit.test_agent_older_sql import WHOLE

from .agent_site import Site, site

pytestmark = pytest.mark.lab
VECTOR = Path(__file__).parents[1] / "unit" / "vectors" / "loomio_backup_20240115_120000.sql.enc"
PASSPHRASE = "5f0c9a7e3b1d4c2286ad90e1b7c34f58d1e2a3b4c5d6e7f8091a2b3c4d5e6f70"
RESTORE = ("restore", "--unattended", "--replace-live-data", "--older")


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Pi that writes that format, too, with one backup."""
    root = tmp_path_factory.mktemp("older")
    with site(root / "pi", "agent-older", local=root / "disk") as made:
        made.fill()
        (made.root / "credentials" / "legacy_passphrase").write_text(PASSPHRASE + "\n")
        made.write_config(made.config.model_copy(update={"format": "fernet"}))
        made.must("run")
        yield made


def sealed(path: Path, sql: bytes) -> Path:
    """A file as the scripts would have written it."""
    plain = path.with_suffix(".plain")
    plain.write_bytes(sql)
    with plain.open("rb") as source, path.open("wb") as destination:
        fernet.encrypt(source, destination, fernet.derive_key(PASSPHRASE))
    return path


def test_one_in_the_store_comes_back_by_its_name_and_can_be_undone(pi: Site, tmp_path: Path) -> None:
    wanted, files = pi.database_text(), pi.files_text()
    [name] = [path.name for path in (pi.root.parent / "disk").glob("*.sql.enc")]
    pi.sql("DELETE FROM users WHERE id > 5")
    pi.must("run")
    worked = pi.database_text()
    lineage = json.loads(pi.must("list", "--json"))[0]
    refused = pi.run("restore", "--unattended", "--older", name)
    assert (refused.code, "--replace-live-data" in refused.err) == (1, True)
    pi.must(*RESTORE, name)
    assert sorted(pi.database_text()) == sorted(wanted)
    assert pi.files_text() == files
    pi.must("undo", "--unattended")
    assert pi.database_text() == worked
    pi.must("run")
    assert json.loads(pi.must("list", "--json"))[0]["generation"] == lineage["generation"]


def test_the_scripts_own_file_comes_back_from_a_folder(pi: Site, tmp_path: Path) -> None:
    shutil.copy(VECTOR, tmp_path)
    output = pi.must(*RESTORE, str(tmp_path / VECTOR.name))
    assert pi.sql("SELECT name FROM users ORDER BY id").split("\n") == ["Rangi Wāhine", "Zoë ✓"]
    assert "2 users" in output
    result = json.loads((pi.root / "state" / "restore-result.json").read_text())
    assert result["snapshot"].startswith("2024-01-15T12:00:00")
    assert pi.run("undo", "--unattended").code == 0


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        (WHOLE[: WHOLE.index(b"2\t")], "cut off"),
        (b"\\connect loomio_production\n" + WHOLE, "another database"),
        (WHOLE[: WHOLE.index(b"COPY public.things")], "cut off"),
        (b"-- PostgreSQL database dump\n", "no rows"),
        (b"SELECT * FROM nowhere;\n", "nowhere"),
    ],
)
def test_what_cannot_be_restored_whole_changes_nothing(
    pi: Site, tmp_path: Path, sql: bytes, sentence: str
) -> None:
    live = pi.database_text()
    refused = pi.run(*RESTORE, str(sealed(tmp_path / "loomio_backup_20240101_000000.sql.enc", sql)))
    assert refused.code == 1
    assert sentence in refused.err
    assert pi.database_text() == live
    assert pi.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'loomio_restore_%'") == "0"


def test_a_wrong_passphrase_and_damage_are_told(pi: Site, tmp_path: Path) -> None:
    damaged = bytearray(VECTOR.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "x.sql.enc").write_bytes(damaged)
    refused = pi.run(*RESTORE, str(tmp_path / "x.sql.enc"))
    assert (refused.code, "passphrase" in refused.err) == (1, True)
    missing = pi.run(*RESTORE, "loomio_backup_20000101_000000.sql.enc")
    assert (missing.code, "no store gives" in missing.err) == (1, True)
