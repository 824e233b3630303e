"""`format: fernet`: beside each dump the file that the older scripts wrote, opened as people always did."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .agent_memory import peak_pss
from .agent_site import Site, clean_environment, site
from .docker import docker
from .test_agent_faults import _fails, _manifests

pytestmark = pytest.mark.lab

PASSPHRASE = "5f0c9a7e3b1d4c2286ad90e1b7c34f58d1e2a3b4c5d6e7f8091a2b3c4d5e6f70"
SNIPPET = Path(__file__).parents[1] / "unit" / "vectors" / "decrypt_manually.txt"
"""How the older scripts' own documentation decrypts a backup, word for word."""


def _choose_fernet(pi: Site) -> None:
    pi.write_config(pi.config.model_copy(update={"format": "fernet"}))
    (pi.root / "credentials" / "legacy_passphrase").write_text(PASSPHRASE + "\n")


def _decrypted(written: Path, folder: Path) -> Path:
    """What the snippet makes of a file."""
    folder.mkdir()
    (folder / "backup.sql.enc").write_bytes(written.read_bytes())
    script = SNIPPET.read_text().replace("YOUR_BACKUP_ENCRYPTION_KEY", PASSPHRASE)
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
    return folder / "backup.sql"


def test_the_old_way_of_restoring_works(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-fernet", local=tmp_path / "disk") as pi:
        pi.fill()
        _choose_fernet(pi)
        pi.must("run")
        [written] = (tmp_path / "disk").glob("*.sql.enc")
        [backup] = json.loads(pi.must("list", "--json"))
        assert written.name == backup["name"] + ".sql.enc"
        assert re.fullmatch(r"loomio_backup_\d{8}_\d{6}\.sql\.enc", written.name)
        sql = _decrypted(written, tmp_path / "by-hand")
        docker("exec", pi.container, "createdb", "-U", "loomio", "-T", "template0", "copy")
        pi.sql(sql.read_text(), "copy")
        text = docker("exec", pi.container, "pg_dump", "-U", "loomio", "copy").splitlines()
        assert [line for line in text if "restrict" not in line] == pi.database_text()
        docker("exec", pi.container, "dropdb", "-U", "loomio", "copy")

        # Our own verb opens it, and a restore does not need it.
        key = pi.root / "credentials" / "legacy_passphrase"
        pi.must("decrypt", "--key-file", str(key), str(written), str(tmp_path / "ours.sql"))
        assert (tmp_path / "ours.sql").read_bytes() == sql.read_bytes()
        wanted = pi.database_text()
        pi.must("restore", "--newest", "--unattended", "--replace-live-data")
        assert pi.database_text() == wanted


def test_without_a_passphrase_nothing_is_done(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-fernet2", local=tmp_path / "disk") as pi:
        _choose_fernet(pi)
        (pi.root / "credentials" / "legacy_passphrase").write_text("\n")
        assert "the credential legacy_passphrase is missing" in _fails(pi, "run")
        assert not (tmp_path / "disk").exists()
        _choose_fernet(pi)
        pi.must("run")


def test_a_second_output_that_fails_fails_the_run(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-fernet3", local=tmp_path / "disk") as pi:
        # Compresses well: the dump stays far below the limit that the SQL exceeds.
        pi.sql("CREATE TABLE long AS SELECT i, repeat('the same ', 50) FROM generate_series(1, 100000) AS i")
        _choose_fernet(pi)
        limited = ["prlimit", f"--fsize={20_000_000}", *pi.agent("run")]
        done = subprocess.run(limited, capture_output=True, text=True, env=clean_environment(), timeout=120)
        assert done.returncode == 1, done
        assert "File too large" in done.stderr
        assert "Earlier backups are untouched" in done.stderr
        assert _manifests(pi) == []
        assert list((pi.root / "state" / "spool").glob("*.sql.enc")) == []
        assert pi.helpers() == []

        # Without the limit it succeeds, in constant memory.
        agent = pi.start_agent("run")
        peak, holders = peak_pss(agent)
        output, _ = agent.communicate()
        assert agent.returncode == 0, output
        [written] = (tmp_path / "disk").glob("*.sql.enc")
        assert written.stat().st_size > 60_000_000
        assert peak < 150_000_000, holders
