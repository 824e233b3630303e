"""What goes wrong before and during a restore: damage is noticed in time, and a restore can be repeated."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import DriveStore, LocalStore, Stores

from .agent_site import Site, site
from .docker import docker
from .drive import DriveEmulator, LabDrive
from .test_agent_faults import _fails

pytestmark = pytest.mark.lab


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "pi", "agent-d", local=tmp_path / "disk") as made:
        made.fill()
        made.must("run")
        yield made


@pytest.fixture
def new(old: Site, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "fresh", "agent-d2", local=tmp_path / "disk", keys=old) as made:
        yield made


def _names(pi: Site) -> dict[str, str]:
    """The newest backup's objects by their kind of name."""
    store = pi.config.stores.local
    assert store is not None
    names = sorted(
        (path.name for path in store.path.iterdir()), key=lambda name: (store.path / name).stat().st_mtime
    )
    kinds = {
        "dump": ".dump.zst.age",
        "config": ".config.tar.zst.age",
        "index": ".ndjson.zst.age",
        "manifest": ".manifest.age",
    }
    found = {kind: name for kind, end in kinds.items() for name in names if name.endswith(end)}
    found["pack"] = [name for name in names if name.startswith("app-data_")][-1]
    return found


@pytest.mark.parametrize(
    "how", ["flip", *(pytest.param(how, marks=pytest.mark.long) for how in ("cut", "gone"))]
)
def test_damage_is_noticed_and_the_backup_before_is_taken(
    old: Site, new: Site, tmp_path: Path, how: str
) -> None:
    wanted = (old.database_text(), old.files_text())
    first = json.loads(old.must("list", "--json"))[0]["name"]
    old.sql("DELETE FROM users WHERE id > 1")
    (old.uploads / "later").write_text("later")
    old.must("run")
    for kind in ("dump", "config", "index", "pack", "manifest"):
        path = tmp_path / "disk" / _names(old)[kind]
        data = path.read_bytes()
        if how == "flip":
            path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
        elif how == "cut":
            path.write_bytes(data[:-1])
        else:
            path.unlink()
        # Without its manifest a backup does not exist; a flipped byte needs a hash, which a folder lacks
        # (but each manifest is opened).
        if how == "cut" or (kind == "manifest") == (how == "flip"):
            assert path.name in _fails(old, "check", "--store", "local")
        new.lose_database()
        output = new.must("restore", "--newest", "--unattended")
        assert f"{first} is restored" in output, (kind, output)
        if (kind, how) != ("manifest", "gone"):
            assert path.name in output
        assert (new.database_text(), new.files_text()) == wanted
        assert new.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'loomio_restore%'") == "0"
        path.write_bytes(data)


def test_nothing_undamaged_changes_nothing(old: Site, new: Site, tmp_path: Path) -> None:
    (tmp_path / "disk" / _names(old)["pack"]).unlink()
    (new.uploads / "live").write_text("live")
    before = (new.database_text(), new.files_text())
    assert "no backup could be restored" in _fails(new, "restore", "--newest", "--unattended")
    assert (new.database_text(), new.files_text()) == before
    assert not (new.root / "state" / "restore-result.json").exists()
    assert [path.name for path in new.uploads.iterdir()] == ["live"]


def test_the_other_store_helps_out(old: Site, tmp_path: Path) -> None:
    """One object is damaged in the local store; Drive's copy is taken for it."""
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        secret = json.dumps(lab.register_user())
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri)
        (old.root / "credentials" / "drive.json").write_text(secret)
        both = Stores(local=LocalStore(path=tmp_path / "disk"), drive=drive)
        old.write_config(old.config.model_copy(update={"stores": both}))
        old.must("run")
        pack = tmp_path / "disk" / _names(old)["pack"]
        pack.write_bytes(pack.read_bytes()[:-10])
        with site(
            tmp_path / "both",
            "agent-d3",
            local=tmp_path / "disk",
            drive=drive,
            drive_secret=secret,
            keys=old,
        ) as new:
            new.must("restore", "--newest", "--unattended")
            assert (new.database_text(), new.files_text()) == (old.database_text(), old.files_text())


def test_an_outage_does_not_bring_an_older_backup(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        options = {
            "drive": DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            "drive_secret": json.dumps(lab.register_user()),
        }
        with site(tmp_path / "pi", "agent-d5", **options) as pi:
            pi.fill()
            pi.must("run")
            pi.sql("DELETE FROM other.things")
            pi.must("run")
            newest = json.loads(pi.must("list", "--json"))[0]["name"]
            before = (pi.database_text(), pi.files_text())
            lab.fault("status", times=None, match={"name": f"{newest}.dump*", "download": True}, status=403)
            said = _fails(pi, "restore", "--newest", "--unattended", "--replace-live-data")
            assert "Nothing live was changed" in said
            assert "run it again" in said
            assert (pi.database_text(), pi.files_text()) == before
            lab.clear_faults()
            output = pi.must("restore", "--newest", "--unattended", "--replace-live-data")
            assert f"{newest} is restored" in output


def test_check_names_every_manifest_that_cannot_be_used(old: Site, tmp_path: Path) -> None:
    """An older backup is whole and young, yet not all is well: the damaged one may be the newest."""
    first = tmp_path / "disk" / _names(old)["manifest"]
    old.must("run")
    newest = tmp_path / "disk" / _names(old)["manifest"]
    whole = newest.read_bytes()
    newest.write_bytes(whole[:100])
    assert newest.name in _fails(old, "check", "--store", "local")
    verdict = json.loads(old.run("check", "--store", "local", "--json").out)
    assert (verdict["ok"], verdict["complete"]) == (False, False)
    newest.write_bytes(whole)
    old.must("check", "--store", "local")
    first.write_bytes(b"")
    assert first.name in _fails(old, "check", "--store", "local")
    stranger = Site(tmp_path / "stranger", "agent-stranger", local=tmp_path / "disk2")
    stranger.container, stranger.project = old.container, old.project
    stranger.write_config(stranger.config.model_copy(update={"project": old.project}))
    stranger.must("run")
    [foreign] = (tmp_path / "disk2").glob("*.manifest.age")
    first.write_bytes(foreign.read_bytes())
    assert f"no key of this Pi opens {first.name}" in _fails(old, "check", "--store", "local")


def test_other_application_keys_are_named_but_not_shown(old: Site, new: Site) -> None:
    new.env.write_text(new.env.read_text().replace("cookie", "wrong-secret"))
    sentence = _fails(new, "restore", "--newest", "--unattended")
    assert "SECRET_COOKIE_TOKEN" in sentence
    assert "wrong-secret" not in sentence
    assert "=cookie" not in sentence
    assert new.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'loomio_restore%'") == "0"


def test_a_wrong_identity_changes_nothing(old: Site, new: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other", "agent-other", local=tmp_path / "disk")
    (new.root / "credentials" / "identity").write_text(other.identity)
    assert "opens none of the 1 backups" in _fails(new, "restore", "--newest", "--unattended")


@pytest.mark.parametrize(
    ("line", "signal_"),
    [
        ("database: 7 tables", signal.SIGTERM),
        ("switch: removing", signal.SIGKILL),
        *(
            pytest.param(line, kind, marks=pytest.mark.long)
            for line, kind in (
                ("restoring ", signal.SIGKILL),
                ("database: 7 tables", signal.SIGKILL),
                ("app-data: 3 files", signal.SIGKILL),
                ("switch: removing", signal.SIGTERM),
                ("switch: the storage", signal.SIGKILL),
            )
        ),
    ],
)
def test_a_restore_that_is_killed_anywhere_is_finished_by_the_next(
    old: Site, tmp_path: Path, line: str, signal_: signal.Signals
) -> None:
    wanted = (old.database_text(), old.files_text())
    with site(tmp_path / "fresh", "agent-d4", local=tmp_path / "disk", keys=old) as new:
        # Something to remove and to keep aside, so that every step has work.
        new.sql("CREATE TABLE before (n int)")
        # What an app that was started too early leaves is not people's data.
        new.sql("CREATE TABLE schema_migrations (version text); INSERT INTO schema_migrations VALUES ('1')")
        (new.storage / "before").write_text("before")
        docker(
            *("run", "-d", f"--label=com.docker.compose.project={new.project}"),
            *("--label=com.docker.compose.service=app", "--stop-signal=KILL"),
            *("--entrypoint=sleep", "debian:trixie", "1000"),
        )
        agent = new.start_agent("restore", "--newest", "--unattended", "--leave-stopped")
        assert agent.stdout is not None
        for said in agent.stdout:
            if said.startswith(line):
                agent.send_signal(signal_)
                break
        else:
            pytest.fail(f"never said {line!r}")
        agent.communicate(timeout=60)
        new.must("restore", "--newest", "--unattended", "--leave-stopped")
        assert (new.database_text(), new.files_text()) == wanted
        leftovers = [path.name for path in new.storage.iterdir() if path.name.startswith(".loomio-")]
        assert [name for name in leftovers if not name.startswith(".loomio-before-")] == []
        assert new.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'loomio_restore%'") == "0"
        assert (new.root / "state" / "restore-result.json").exists()
        new.must("run")


def test_no_backup_is_made_of_a_half_restored_pi(old: Site, new: Site) -> None:
    new.must("restore", "--newest", "--unattended", "--leave-stopped")
    journal = new.root / "state" / "restore-journal.json"
    document = json.loads(journal.read_text())
    journal.write_text(json.dumps(document | {"state": "switching"}))
    assert "was interrupted" in _fails(new, "run")
    new.must("restore", "--newest", "--unattended", "--leave-stopped")
    new.must("run")
