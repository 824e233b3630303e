"""What a person is told over the life of a Pi: silence when all is well, one message when something is not,
one when it is over. Real backups, the real Drive client, a mail and a web server; only the clocks are moved.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loomio_backup import clock
from loomio_backup.config import DriveStore, Watch
from loomio_backup.credentials import Credentials
from loomio_backup.errors import CatalogueError
from loomio_backup.monitoring import watch
from loomio_backup.state import StateDirectory
from loomio_backup.stores.drive import DriveFolder
from tests.unit.alert_sinks import MailSink, WebSink, mail_sink, web_sink

from .agent_site import Site, site
from .docker import docker, wait_until
from .drive import DriveEmulator, LabDrive

pytestmark = pytest.mark.lab

SECRET = "hunter2"
REMOTE_CLOCK = DriveFolder.now


@dataclass
class Scene:
    """A Pi with both stores, and everybody who is told."""

    pi: Site
    drive: DriveEmulator
    lab: LabDrive
    web: WebSink
    mail: MailSink
    monkeypatch: pytest.MonkeyPatch
    moved: timedelta = timedelta(0)

    def move_clock(self, **by: float) -> None:
        """Let time pass for the watch, and for Google."""
        self.moved += timedelta(**by)
        moved = self.moved
        self.monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + moved)
        self.monkeypatch.setattr(DriveFolder, "now", lambda drive: REMOTE_CLOCK(drive) + moved)

    def watch(self) -> list[str]:
        """One look; returns the subjects of the mails that it sent. Everybody must have got the same."""
        mails, posts = len(self.mail.mails), len(self._posts())
        assert watch.run(self.pi.config, Credentials(self.pi.config.credentials_directory)) == 0
        subjects = [str(mail["Subject"]) for mail in self.mail.mails[mails:]]
        assert [post["title"] for post in self._posts()[posts:]] == subjects
        return subjects

    def last_mail(self) -> str:
        return str(self.mail.mails[-1].get_content())

    def last_ping(self) -> str:
        return [path for path in self.web.paths if path.startswith("/ping")][-1]

    def _posts(self) -> list[dict[str, str]]:
        return [json.loads(body) for method, _, body in self.web.requests if method == "POST"]

    def metrics(self) -> dict[tuple[str, str], float]:
        """What Prometheus reads, by metric and store."""
        text = (self.pi.root / "metrics" / "loomio.prom").read_text()
        assert SECRET not in text
        return {
            (sample.name.removeprefix("loomio_backup_"), sample.labels.get("store", "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all these Pis: what they back up hardly matters here."""
    with site(tmp_path_factory.mktemp("database"), "agent-watch", local=Path("/nowhere")) as server:
        yield server


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Site) -> Iterator[Scene]:
    # A machine that was only just started excuses late backups.
    monkeypatch.setattr(clock, "since_start", lambda: timedelta(days=1))
    monkeypatch.setattr(clock, "synchronised", lambda: True)
    with DriveEmulator(tmp_path / "drive") as emulator, web_sink() as web, mail_sink() as mail:
        lab = LabDrive(emulator.url)
        pi = Site(
            tmp_path / "pi",
            database.project,
            local=tmp_path / "disk",
            drive=DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            drive_secret=json.dumps(lab.register_user()),
        )
        pi.container = database.container
        (pi.root / "metrics").mkdir()
        settings = Watch(prometheus_file=pi.root / "metrics" / "loomio.prom")
        pi.write_config(pi.config.model_copy(update={"watch": settings}))
        alerts = {
            "urls": [f"json://user:{SECRET}@127.0.0.1:{web.port}/{SECRET}"],
            "ping_url": f"http://127.0.0.1:{web.port}/ping/{SECRET}",
            "smtp": {"server": "127.0.0.1", "port": mail.port, "from": "a@b.c", "to": "d@e.f"},
        }
        (pi.root / "credentials" / "alerts.json").write_text(json.dumps(alerts))
        yield Scene(pi, emulator, lab, web, mail, monkeypatch)


def test_the_life_of_a_pi(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    pi = scene.pi
    assert scene.watch() == [], "nothing is expected of a Pi that has just been set up"
    assert scene.last_ping() == f"/ping/{SECRET}"
    before = pi.run("status")
    assert before.code == 0, before
    assert "Not yet protected: no backup is complete in Google Drive" in before.out

    pi.must("run")
    assert scene.watch() == []
    said = pi.must("status")
    assert "all is well" in said
    assert "Not yet protected" not in said
    metrics = scene.metrics()
    assert metrics["last_run_success", ""] == 1
    assert metrics["backups", "drive"] == metrics["backups", "local"] == 1
    assert metrics["newest_age_seconds", "drive"] < 600
    assert (pi.root / "metrics" / "loomio.prom").stat().st_mode & 0o777 == 0o644

    # Nothing runs any more, for whatever reason.
    scene.move_clock(hours=3)
    assert scene.watch() == ["[pi] Backups: no new backup in Google Drive (and 1 more)"]
    assert "There is no new backup in Google Drive" in scene.last_mail()
    assert "loomio-backup run" in scene.last_mail()
    assert scene.last_ping() == f"/ping/{SECRET}/fail"
    assert scene.metrics()["late", "drive"] == scene.metrics()["late", "local"] == 1
    assert scene.metrics()["alarms_open", ""] == 2
    for _ in range(8):
        scene.move_clock(minutes=30)
        assert scene.watch() == []
    scene.move_clock(hours=21)
    assert len(scene.watch()) == 1, "a reminder"
    scene.move_clock(hours=-scene.moved.total_seconds() / 3600)
    assert scene.watch() == ["[pi] Backups: over: no new backup in Google Drive (and 1 more)"]

    # A failing run, told once, and over with the next good one.
    docker("stop", "-t", "0", pi.container)
    assert pi.run("run").code == 1
    assert scene.watch() == ["[pi] Backups: the last backup failed"]
    assert "Safe: loomio_backup_" in scene.last_mail()
    assert scene.watch() == []
    assert pi.run("status").code == 1
    docker("start", pi.container)
    wait_until(lambda: pi.run("run").code == 0, "a good backup")
    assert scene.watch() == ["[pi] Backups: over: the last backup failed"]
    assert scene.last_ping() == f"/ping/{SECRET}"
    assert pi.run("status").code == 0

    said = "".join(capfd.readouterr())
    assert SECRET not in said


def test_a_killed_run_is_noticed(scene: Scene) -> None:
    pi = scene.pi
    pi.big_table(100_000)
    unlimited, drive = pi.config, pi.config.stores.drive
    assert drive is not None
    slow = drive.model_copy(update={"upload_limit_bytes": 20_000})
    pi.write_config(
        unlimited.model_copy(update={"stores": unlimited.stores.model_copy(update={"drive": slow})})
    )
    agent = pi.start_agent("run")
    state = StateDirectory(pi.config.state_directory)
    wait_until(lambda: pi.helpers() != [], "the dump")
    assert state.running() == f"a backup, process {agent.pid}"
    assert "running now:        a backup" in pi.run("status").out
    local = pi.config.stores.local
    assert local is not None
    wait_until(lambda: list(local.path.glob("*.manifest.age")) != [], "the local copy")
    said = pi.must("status")
    assert "Not yet protected: no backup is complete in Google Drive" in said
    assert "are to come" in said
    assert scene.watch() == [], "a run in progress is no failure"
    assert agent.poll() is None
    os.kill(agent.pid, signal.SIGKILL)
    agent.communicate()
    assert scene.watch() == ["[pi] Backups: the last backup failed"]
    assert "it was killed, or the Pi lost its power" in scene.last_mail()
    assert scene.metrics()["last_run_success", ""] == 0
    pi.write_config(unlimited)
    pi.must("run")
    assert scene.watch() == ["[pi] Backups: over: the last backup failed"]


def test_a_dead_token_and_a_full_drive(scene: Scene) -> None:
    pi = scene.pi
    pi.must("run")
    used = sum(int(file["size"]) for file in scene.lab.files() if "md5" in file)
    scene.lab.set_quota("group@example.org", used + 100)
    assert scene.watch() == ["[pi] Backups: Google Drive is nearly full"]
    assert "100 bytes are free" in scene.last_mail()
    scene.lab.set_quota("group@example.org", 15 * 10**9)
    assert scene.watch() == ["[pi] Backups: over: Google Drive is nearly full"]

    scene.lab.revoke(json.loads((pi.root / "credentials" / "drive.json").read_text()))
    assert scene.watch() == ["[pi] Backups: Google Drive cannot be used"]
    assert "loomio-pi authorize" in scene.last_mail()
    assert "Safe: loomio_backup_" in scene.last_mail()
    # The local store is judged all the same, and the command fails without a traceback.
    shown = pi.run("status", "--json")
    assert (shown.code, shown.err) == (1, "")
    answer = json.loads(shown.out)
    local, drive = answer["stores"]
    assert (local["problem"], local["backups"], drive["backups"]) == (None, 1, 1)
    assert drive["newest"] == local["newest"], "what was known of Drive"
    assert not answer["ok"]


def test_an_outage_is_told_when_it_lasts(scene: Scene) -> None:
    pi = scene.pi
    pi.must("run")
    online = pi.config
    nowhere = DriveStore(
        api_root="http://127.0.0.1:9/", token_uri="http://127.0.0.1:9/token", schedule="0 0 1 1 *"
    )
    stores = pi.config.stores.model_copy(update={"drive": nowhere})
    # Backups are rare here, so that only the outage is left to notice.
    pi.write_config(pi.config.model_copy(update={"stores": stores, "schedule": "0 0 1 1 *"}))
    assert scene.watch() == []
    shown = pi.run("status")
    assert (shown.code, "cannot be read now; this is what was known" in shown.out) == (0, True)
    scene.move_clock(hours=5)
    assert scene.watch() == []
    scene.move_clock(hours=2)
    assert scene.watch() == ["[pi] Backups: Google Drive cannot be used"]
    assert "has not answered since" in scene.last_mail()
    pi.write_config(online.model_copy(update={"schedule": "0 0 1 1 *"}))
    assert scene.watch() == ["[pi] Backups: over: Google Drive cannot be used"]


def test_a_collapse_freezes_until_a_person_has_looked(scene: Scene) -> None:
    pi = scene.pi
    pi.fill()
    pi.must("run")
    pi.sql("DELETE FROM users WHERE id > 100")
    pi.must("run")
    assert scene.watch() == ["[pi] Backups: there is much less data than before"]
    assert "rows in public.users" in scene.last_mail()
    assert "loomio-backup prune --resume" in scene.last_mail()
    assert "frozen" in pi.run("status").out
    pi.must("prune", "--resume")
    pi.must("run")
    assert scene.watch() == ["[pi] Backups: over: there is much less data than before"]


def test_a_manifest_that_disappears(scene: Scene) -> None:
    pi = scene.pi
    pi.must("run")
    pi.must("run")
    local = pi.config.stores.local
    assert local is not None
    next(iter(sorted(local.path.glob("*.manifest.age")))).unlink()
    assert scene.watch() == ["[pi] Backups: not all is in the local store that was put there"]
    assert "(disappeared)" in pi.run("status").out
    pi.must("prune", "--resume")
    assert scene.watch() == ["[pi] Backups: over: not all is in the local store that was put there"]


def test_what_cannot_be_sent_is_tried_again_and_seen(scene: Scene) -> None:
    pi, credentials = scene.pi, Credentials(scene.pi.config.credentials_directory)
    pi.must("run")
    alerts = pi.root / "credentials" / "alerts.json"
    right = alerts.read_text()
    alerts.write_text(json.dumps({"urls": [f"json://user:{SECRET}@127.0.0.1:9/{SECRET}"]}))
    scene.move_clock(hours=3)
    for _ in range(2):
        assert watch.run(pi.config, credentials) == 1
    shown = pi.run("status")
    assert (
        "The last message did not reach everybody: alerts.urls, number 1 (json) could not be reached."
        in shown.out
    )
    assert SECRET not in shown.out + shown.err
    alerts.write_text(right)
    assert scene.watch() == ["[pi] Backups: no new backup in Google Drive (and 1 more)"]
    assert "did not reach" not in pi.run("status").out


def test_a_look_that_fails_is_told_once(scene: Scene) -> None:
    pi, credentials = scene.pi, Credentials(scene.pi.config.credentials_directory)
    pi.must("run")
    catalogue = StateDirectory(pi.config.state_directory).catalogue
    catalogue.rename(catalogue.with_suffix(".aside"))
    for suffix in ("-wal", "-shm"):
        catalogue.with_name(catalogue.name + suffix).unlink(missing_ok=True)
    catalogue.write_bytes(b"this is no database, however one looks at it" * 100)
    for _ in range(3):
        with pytest.raises(CatalogueError):
            watch.run(pi.config, credentials)
    assert [str(mail["Subject"]) for mail in scene.mail.mails] == ["[pi] Backups: the watch over them failed"]
    assert scene.last_ping() == f"/ping/{SECRET}/fail"
    catalogue.with_suffix(".aside").rename(catalogue)
    assert scene.watch() == ["[pi] Backups: over: the watch works again"]


def test_alert_test_says_what_works(scene: Scene) -> None:
    pi = scene.pi
    said = pi.must("alert-test")
    assert said.splitlines() == [
        "alerts.urls, number 1 (json): worked",
        "alerts.smtp: worked",
        "alerts.ping_url: worked",
    ]
    assert [str(mail["Subject"]) for mail in scene.mail.mails] == ["[pi] Backups: a test"]
    scene.web.statuses = [404]
    outcome = pi.run("alert-test")
    assert outcome.code == 1
    assert "alerts.ping_url: answered with status 404" in outcome.out
    assert SECRET not in outcome.out + outcome.err
    (pi.root / "credentials" / "alerts.json").unlink()
    outcome = pi.run("alert-test")
    assert outcome.code == 1
    assert "there is nobody to tell" in outcome.err
