"""A Pi's data into both stores and back onto another Pi: everything is compared."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import AppDataSource, DriveStore

from .agent_site import DATABASE, Site, clean_environment, site
from .docker import docker
from .drive import DriveEmulator, LabDrive

pytestmark = pytest.mark.lab

PROPERTIES = "SELECT to_jsonb(d) - 'oid' - 'datfrozenxid' - 'datminmxid' FROM pg_database d WHERE datname = "


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[DriveEmulator]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        yield emulator


def _drive_options(emulator: DriveEmulator) -> dict[str, object]:
    lab = LabDrive(emulator.url)
    secret = lab.register_user()
    return {
        "drive": DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
        "drive_secret": json.dumps(secret),
    }


def test_everything_comes_back(tmp_path: Path, drive: DriveEmulator) -> None:
    options = _drive_options(drive)
    with site(tmp_path / "pi", "agent-round", local=tmp_path / "disk", **options) as old:
        old.fill()
        output = old.must("run")
        assert "is complete in: drive, local" in output
        assert old.helpers() == []
        assert [path.name for path in (old.root / "state" / "spool").iterdir()] == []

        [listed] = json.loads(old.must("list", "--json"))
        assert listed["stores"] == ["local", "drive"]
        assert (listed["generation"], listed["sequence"]) == (1, 1)
        assert listed["warnings"] == ["attachments without a file: 1"]
        for kind in ("local", "drive"):
            verdict = json.loads(old.must("check", "--store", kind, "--json"))
            assert (verdict["ok"], verdict["complete"], verdict["problems"]) == (True, True, [])
            assert listed["name"] in old.must("check", "--store", kind)
        for path in (tmp_path / "disk").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            if path.name != "RECOVERY.md":
                assert path.read_bytes().startswith(b"age-encryption.org/v1\n"), path.name

        with site(tmp_path / "fresh", "agent-round2", keys=old, **options) as new:
            # A worker that was merely started enters itself into its queue.
            new.sql(
                "CREATE TABLE solid_queue_processes (id int); INSERT INTO solid_queue_processes VALUES (1)"
            )
            assert "disaster_recovery" in new.run("run").err
            new.sql("DROP TABLE solid_queue_processes")
            new.must("restore", "--newest", "--store", "drive", "--unattended")
            assert new.database_text() == old.database_text()
            assert new.files_text() == old.files_text()
            for query in (
                PROPERTIES + f"'{DATABASE}'",
                "SELECT setrole::regrole, setconfig FROM pg_db_role_setting ORDER BY 1::text",
                f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{DATABASE}'",
                "SELECT rolcanlogin, rolconnlimit, rolpassword FROM pg_authid WHERE rolname = 'reader'",
                "SELECT pg_has_role('reader', 'pg_read_all_data', 'member')",
            ):
                assert new.sql(query) == old.sql(query), query
            assert new.sql("SELECT datname FROM pg_database WHERE datname LIKE 'loomio_%'") == DATABASE
            result = json.loads((new.root / "state" / "restore-result.json").read_text())
            assert result["backup"] == listed["name"]
            assert result["snapshot"] == listed["snapshot"]
            assert (result["rows"], result["files"]) == (listed["rows"], listed["files"])
            assert set(result["phases"]) >= {"database", "files", "switch"}
            assert result["objects_fetched"] == 4

            again = new.must("restore", "--newest", "--store", "drive", "--unattended")
            assert "restored here already" in again

            new.must("run")
            newest, before = json.loads(new.must("list", "--json"))
            assert (newest["generation"], newest["sequence"]) == (2, 1)
            assert before["name"] == listed["name"]
        taken_over = old.run("run")
        assert taken_over.code == 1
        assert "another Pi has taken over" in taken_over.err


def test_the_next_backup_follows_the_one_before(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-next", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        pi.sql("INSERT INTO other.things VALUES (3)")
        pi.must("run")
        newest, first = json.loads(pi.must("list", "--json"))
        assert (newest["sequence"], first["sequence"]) == (2, 1)
        assert newest["rows"] == first["rows"] + 1
        assert newest["name"] > first["name"]
        assert newest["instance"] == first["instance"]


def test_live_data_is_only_replaced_when_told_to_and_is_kept(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-live", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        wanted = (pi.database_text(), pi.files_text())
        pi.sql("DELETE FROM users; CREATE TABLE later (id int)")
        (pi.uploads / "later").write_text("later")
        (pi.storage / "ab" / "cd" / "abcdefgh").unlink()
        app = docker(
            *("run", "-d", f"--label=com.docker.compose.project={pi.project}"),
            *("--label=com.docker.compose.service=app", "--stop-signal=KILL", "--entrypoint=sleep"),
            *("debian:trixie", "1000"),
        )
        redis = docker(
            *("run", "-d", f"--label=com.docker.compose.project={pi.project}"),
            *("--label=com.docker.compose.service=redis", "--stop-signal=KILL", "--entrypoint=sleep"),
            *("debian:trixie", "1000"),
        )

        refused = pi.run("restore", "--newest", "--unattended")
        assert refused.code == 1
        assert "--replace-live-data" in refused.err
        assert "untouched" in refused.err
        nobody = pi.run("restore", "--newest", "--replace-live-data")
        assert nobody.code == 1
        assert "--unattended" in nobody.err
        assert (pi.uploads / "later").exists()

        output = pi.must(*("restore", "--newest", "--unattended", "--replace-live-data", "--leave-stopped"))
        assert (pi.database_text(), pi.files_text()) == wanted
        running = docker("ps", "-q", "--no-trunc").split()
        assert app not in running
        assert redis in running
        result = json.loads((pi.root / "state" / "restore-result.json").read_text())
        kept = result["database_kept_as"]
        assert kept in output
        assert pi.sql("SELECT count(*) FROM users", kept) == "0"
        assert (Path(result["files_kept_in"]["uploads"]) / "later").read_text() == "later"
        # What was live is in a backup, too, although so much of it was lost; and nothing went for that.
        [safety] = result["safety_backups"]
        listed = {one["name"]: one for one in json.loads(pi.must("list", "--json"))}
        assert (listed[safety]["label"], listed[safety]["pinned"]) == ("before-restore", True)
        assert result["backup"] in listed
        pi.must("run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into Docker's volumes")
def test_volumes_are_found_made_and_filled(tmp_path: Path) -> None:
    # As Compose names them: the project's own name comes first (see Site).
    projects = [f"agent-vol-{os.getpid()}", f"agent-vol2-{os.getpid()}"]
    names = [f"{project}_storage" for project in projects]
    docker("volume", "create", names[0])
    try:
        with site(tmp_path / "pi", projects[0], local=tmp_path / "disk") as old:
            source = AppDataSource(name="storage", volume=names[0])
            old.write_config(old.config.model_copy(update={"app_data": [source]}))
            root = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", names[0]))
            (root / "file").write_text("in a volume")
            old.must("run")
            with site(tmp_path / "fresh", projects[1], local=tmp_path / "disk", keys=old) as new:
                source = AppDataSource(name="storage", volume=names[1])
                new.write_config(new.config.model_copy(update={"app_data": [source]}))
                new.must("restore", "--newest", "--unattended")
                root = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", names[1]))
                assert (root / "file").read_text() == "in a volume"
                labels = json.loads(docker("volume", "inspect", "-f", "{{json .Labels}}", names[1]))
                assert labels["com.docker.compose.volume"] == "storage"
                assert labels["com.docker.compose.project"] == projects[1]
    finally:
        docker("volume", "rm", "-f", *names)


def test_a_source_that_the_backup_does_not_have_is_left_alone(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-less", local=tmp_path / "disk") as old:
        old.write_config(old.config.model_copy(update={"app_data": old.config.app_data[:1]}))
        old.must("run")
        with site(tmp_path / "fresh", "agent-less2", local=tmp_path / "disk", keys=old) as new:
            (new.uploads / "live").write_text("live")
            new.must("restore", "--newest", "--unattended")
            assert [path.name for path in new.uploads.iterdir()] == ["live"]


def test_a_backup_is_found_by_its_name(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-name", local=tmp_path / "disk") as old:
        old.fill()
        old.must("run")
        old.sql("DELETE FROM users WHERE id > 1")
        old.must("run")
        newest, first = json.loads(old.must("list", "--json"))
        assert newest["rows"] == first["rows"] - 999
        with site(tmp_path / "fresh", "agent-name2", local=tmp_path / "disk", keys=old) as new:
            missing = new.run("restore", "--backup", "loomio_backup_x", "--unattended")
            assert (missing.code, "loomio-backup list" in missing.err) == (1, True)
            new.must("restore", "--backup", first["name"], "--unattended")
            assert new.sql("SELECT count(*) FROM users") == "1000"


def _converse(pi: Site, *answers: str) -> tuple[int, str]:
    """Run the verb restore on a terminal and type these answers."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        pi.agent("restore"), stdin=terminal, stdout=terminal, stderr=terminal, env=clean_environment()
    )
    os.close(terminal)
    for answer in answers:
        os.write(controller, answer.encode() + b"\n")
    shown = b""
    # The terminal's end is an error of its own kind.
    with contextlib.suppress(OSError):
        while block := os.read(controller, 65536):
            shown += block
    os.close(controller)
    return process.wait(), shown.decode()


def test_a_person_picks_a_backup_and_types_yes(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-yes", local=tmp_path / "disk") as old:
        old.fill()
        old.must("run")
        [backup] = json.loads(old.must("list", "--json"))
        with site(tmp_path / "fresh", "agent-yes2", local=tmp_path / "disk", keys=old) as new:
            code, shown = _converse(new, backup["name"], "no")
            assert code == 1
            assert backup["name"] in shown
            assert "nothing was changed" in shown
            assert new.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
            code, shown = _converse(new, "", "yes")
            assert code == 0, shown
            assert new.database_text() == old.database_text()


def test_decrypt_needs_no_configuration(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-open", local=tmp_path / "disk") as pi:
        pi.must("run")
        [manifest] = (tmp_path / "disk").glob("*.manifest.age")
        pi.write_config(pi.config)
        (pi.root / "config.yml").unlink()
        key = str(pi.root / "credentials" / "identity")
        pi.must("decrypt", "--key-file", key, str(manifest), str(tmp_path / "out.json"))
        assert json.loads((tmp_path / "out.json").read_text())["format"] == "loomio-backup-manifest"
        assert pi.must("version").startswith("loomio-backup ")


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    pi = Site(tmp_path / "pi", "agent-usage", local=tmp_path / "disk")
    assert pi.run().code == 2
    missing = pi.run("check", "--store", "drive")
    assert (missing.code, missing.err) == (1, "loomio-backup: no store drive is configured.\n")
