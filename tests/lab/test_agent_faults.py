"""What goes wrong while a backup is made: it is noticed, nothing false is published, the next run is good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import DriveStore

from .agent_site import DATABASE, USER, Site, site
from .docker import docker, wait_until
from .drive import DriveEmulator, LabDrive

pytestmark = pytest.mark.lab


@pytest.fixture
def pi(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    with site(
        tmp_path / "pi", f"agent-f{abs(hash(request.node.name)) % 10**6}", local=tmp_path / "disk"
    ) as made:
        yield made


def _manifests(pi: Site) -> list[str]:
    store = pi.config.stores.local
    assert store is not None
    return sorted(path.name for path in store.path.glob("*.manifest.age"))


def _fails(pi: Site, *arguments: str) -> str:
    """A verb that must fail with one sentence; returns it."""
    outcome = pi.run(*arguments)
    assert outcome.code == 1, outcome
    assert outcome.err.startswith("loomio-backup: "), outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    return outcome.err


def _psql(pi: Site, script: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        ["docker", "exec", "-i", pi.container, "psql", "-X", "-q", "-U", USER, "-d", DATABASE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(script.encode())
    process.stdin.close()
    return process


def _process_of(pi: Site, name: str) -> int | None:
    """The pid, on this machine, of a program in the helper container."""
    for id_ in pi.helpers():
        listed = subprocess.run(
            ["docker", "top", id_, "-o", "pid,comm"], capture_output=True, text=True
        ).stdout
        for line in listed.splitlines()[1:]:
            pid, command = line.split(maxsplit=1)
            if command.strip() == name:
                return int(pid)
    return None


def test_tables_are_truncated_altered_made_and_dropped_all_the_time(pi: Site) -> None:
    pi.sql("CREATE TABLE pair_a (n int); CREATE TABLE pair_b (n int)")
    pi.sql("INSERT INTO pair_a SELECT generate_series(1, 1000); INSERT INTO pair_b SELECT n FROM pair_a")
    pi.big_table(300_000)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            # In each commit both tables hold the same number of rows, and never none.
            pi.sql(
                "BEGIN; TRUNCATE pair_a; INSERT INTO pair_a SELECT generate_series(1, 1000); COMMIT;"
                "ALTER TABLE pair_b ADD COLUMN more int DEFAULT 1; ALTER TABLE pair_b DROP COLUMN more;"
                "CREATE TABLE passing AS SELECT 1 AS n; DROP TABLE passing;"
            )

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for _ in range(3):
            pi.must("run")
    finally:
        stop.set()
        disturber.join()
    pi.must("restore", "--newest", "--unattended", "--replace-live-data")
    assert pi.sql("SELECT (SELECT count(*) FROM pair_a), (SELECT count(*) FROM pair_b)") == "1000|1000"


def test_a_table_that_is_locked_for_a_while_is_waited_for(pi: Site) -> None:
    pi.sql("CREATE TABLE locked (n int); INSERT INTO locked VALUES (1)")
    holder = _psql(pi, "BEGIN; LOCK TABLE locked; SELECT pg_sleep(13); COMMIT;")
    wait_until(
        lambda: pi.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'") != "0", "lock"
    )
    output = pi.must("run")
    assert "trying again" in output
    assert holder.wait() == 0
    assert len(_manifests(pi)) == 1


@pytest.mark.parametrize("victim", ["pg_dump", "pg_restore", "the container", "the server's session"])
def test_a_killed_dump_is_no_backup(pi: Site, victim: str) -> None:
    pi.must("run")
    pi.big_table(1_000_000)
    agent = pi.start_agent("run")
    if victim == "the container":
        wait_until(lambda: _process_of(pi, "pg_dump") is not None, "pg_dump", every=0.02)
        docker("rm", "-f", *pi.helpers())
    elif victim == "the server's session":
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY public.big%'"
        wait_until(lambda: pi.sql(query) == "t", "pg_dump's session", every=0.02)
    else:
        wait_until(lambda: _process_of(pi, victim) is not None, victim, every=0.02)
        pid = _process_of(pi, victim)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    output, _ = agent.communicate(timeout=120)
    assert agent.returncode == 1, output
    assert "the database was not backed up" in output, output
    assert "Earlier backups are untouched" in output
    assert "Traceback" not in output
    assert len(_manifests(pi)) == 1
    assert pi.helpers() == []
    pi.must("run")
    assert len(_manifests(pi)) == 2


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_agent_leaves_nothing_that_disturbs_the_next(pi: Site, signal_: signal.Signals) -> None:
    pi.big_table(1_000_000)
    agent = pi.start_agent("run")
    wait_until(lambda: _process_of(pi, "pg_dump") is not None, "pg_dump", every=0.02)
    agent.send_signal(signal_)
    agent.communicate(timeout=60)
    assert agent.returncode != 0
    assert _manifests(pi) == []
    if signal_ == signal.SIGTERM:
        assert pi.helpers() == []
    pi.must("run")
    assert pi.helpers() == []
    assert len(_manifests(pi)) == 1
    assert list((pi.root / "state" / "spool").iterdir()) == []
    # Nobody holds a snapshot or locks for a run that is no more.
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'loomio-backup'"
    wait_until(lambda: pi.sql(query) == "0", "no session left")


def test_two_runs_never_overlap(pi: Site) -> None:
    pi.sql("CREATE TABLE locked (n int); INSERT INTO locked VALUES (1)")
    # So that the first run takes as long as the others need.
    holder = _psql(pi, "BEGIN; LOCK TABLE locked; SELECT pg_sleep(13); COMMIT;")
    wait_until(
        lambda: pi.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'") != "0", "lock"
    )
    agent = pi.start_agent("run")
    wait_until(lambda: pi.helpers() != [], "the first run under way", every=0.02)
    assert "another one is running (a backup, process" in _fails(pi, "run")
    assert "another one is running" in _fails(pi, "restore", "--newest", "--unattended")
    output, _ = agent.communicate()
    assert agent.returncode == 0, output
    assert holder.wait() == 0


def test_an_empty_database_does_not_follow_a_full_one(pi: Site) -> None:
    pi.fill()
    pi.must("run")
    pi.sql("DROP SCHEMA public CASCADE; DROP SCHEMA other CASCADE; CREATE SCHEMA public")
    assert "is empty" in _fails(pi, "run")
    assert len(_manifests(pi)) == 1


def test_a_schema_made_anew_does_not_follow_data(pi: Site) -> None:
    """As an app does it that finds an empty database: the same tables, only its own bookkeeping in them."""
    pi.fill()
    pi.must("run")
    pi.sql(
        "DELETE FROM other.things; DELETE FROM users; DELETE FROM parted; DELETE FROM active_storage_blobs"
    )
    pi.sql('DELETE FROM "Odd ""name"" 🎉"')
    assert pi.sql("SELECT count(*) FROM schema_migrations") == "2"
    said = _fails(pi, "run")
    assert "is empty" in said
    assert "All earlier backups are untouched" in said
    assert len(_manifests(pi)) == 1
    backup = json.loads(pi.must("list", "--json"))[0]["name"]
    assert f"loomio-backup restore --backup {backup}" in said
    pi.must("restore", "--backup", backup, "--unattended")
    assert pi.sql("SELECT count(*) FROM users") == "1000"
    pi.sql("DELETE FROM users")
    assert "has no users any more" in _fails(pi, "run")


def test_a_stopped_database_is_one_sentence(pi: Site) -> None:
    pi.must("run")
    docker("stop", "-t", "0", pi.container)
    for verb in (["run"], ["restore", "--newest", "--unattended"]):
        said = _fails(pi, *verb)
        assert "no running container of the service db" in said
        # Never the whole stack: the app must not start in the middle of a half-done restore.
        assert "(docker compose up -d db)" in said
    assert len(_manifests(pi)) == 1


def test_a_wrong_database_name_is_one_sentence(pi: Site) -> None:
    database = pi.config.database.model_copy(update={"name": "nowhere"})
    pi.write_config(pi.config.model_copy(update={"database": database}))
    assert "nowhere" in _fails(pi, "run")


def test_a_drive_that_fails_does_not_cost_the_local_backup(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        secret = lab.register_user(quota=200_000)
        with site(
            tmp_path / "pi",
            "agent-quota",
            local=tmp_path / "disk",
            drive=DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            drive_secret=json.dumps(secret),
        ) as pi:
            (pi.uploads / "small").write_text("small")
            pi.must("run")
            (pi.uploads / "large").write_bytes(os.urandom(300_000))
            sentence = _fails(pi, "run")
            assert "safe in local" in sentence
            newest, first = json.loads(pi.must("list", "--json"))
            assert newest["stores"] == ["local"]
            assert first["stores"] == ["local", "drive"]
            pi.must("check", "--store", "local")
            pi.must("check", "--store", "drive")


def test_all_stores_failing_is_a_failure(pi: Site, tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("a file where the store should be")
    assert "cannot be used" in _fails(pi, "run")


def test_a_manifest_by_somebody_else_is_ignored_and_told(pi: Site, tmp_path: Path) -> None:
    """Same recipients (they are public), another signing key: a forgery must not stop backups, nor pass."""
    pi.must("run")
    forger = Site(tmp_path / "forger", pi.project, local=tmp_path / "disk2", keys=pi)
    forger.signing_key = Site(tmp_path / "other", pi.project, local=tmp_path / "disk3").signing_key
    (forger.root / "credentials" / "signing_key").write_text(forger.signing_key)
    forger.must("run")
    [manifest] = (tmp_path / "disk2").glob("*.manifest.age")
    forged = tmp_path / "disk" / "loomio_backup_20991231_000000.manifest.age"
    forged.write_bytes(manifest.read_bytes())
    output = pi.must("run")
    assert f"{forged.name} was ignored" in output
    listed = pi.run("list")
    assert listed.code == 1
    assert "20991231" not in listed.out
    assert "signing key" in listed.err


def test_a_store_full_of_unreadable_backups_is_not_added_to(pi: Site, tmp_path: Path) -> None:
    stranger = Site(tmp_path / "stranger", pi.project, local=tmp_path / "disk")
    stranger.must("run")
    assert "disaster_recovery" in _fails(pi, "run")
    assert "opens none of the 1 backups" in _fails(pi, "restore", "--newest", "--unattended")


def _lose_catalogue(pi: Site) -> None:
    for path in (pi.root / "state").glob("catalogue.*"):
        path.unlink()


def test_a_lost_catalogue_does_not_end_the_backups(pi: Site) -> None:
    pi.fill()
    pi.must("run")
    [first] = json.loads(pi.must("list", "--json"))
    _lose_catalogue(pi)
    output = pi.must("run")
    assert "goes on from there as generation 2" in output
    pi.must("run")
    newest, adopted, before = json.loads(pi.must("list", "--json"))
    assert before == first
    assert {backup["instance"] for backup in (newest, adopted)} == {first["instance"]}
    assert [(backup["generation"], backup["sequence"]) for backup in (newest, adopted)] == [(2, 2), (2, 1)]
    assert any("goes on from there" in warning for warning in adopted["warnings"])
    pi.must("check", "--store", "local")


def test_an_empty_pi_does_not_bury_the_backups(pi: Site) -> None:
    pi.fill()
    pi.must("run")
    _lose_catalogue(pi)
    pi.sql("DROP SCHEMA public CASCADE; DROP SCHEMA other CASCADE; CREATE SCHEMA public")
    pi.sql("CREATE TABLE schema_migrations (version varchar); INSERT INTO schema_migrations VALUES ('1')")
    said = _fails(pi, "run")
    assert "database of this Pi is empty" in said
    assert "disaster_recovery" in said
    assert len(_manifests(pi)) == 1
    pi.must("restore", "--newest", "--unattended")
    pi.must("run")
