"""Alerts arrive by every kind of channel, whatever a password looks like, and no secret is ever shown."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.credentials import Credentials
from loomio_backup.errors import ConfigError
from loomio_backup.monitoring import mail, notify
from loomio_backup.monitoring.mail import MailAccount, MailFailed
from loomio_backup.monitoring.notify import Alerts, Message

from .alert_sinks import USER, certificate_for_loopback, mail_sink, web_sink

MESSAGE = Message("[pi] backups in danger: Grüße", "The newest backup is old.\nType: loomio-backup status")
CLOSED = 9  # discard: nobody listens


def _account(port: int, **more: Any) -> MailAccount:
    values = {
        "server": "127.0.0.1",
        "port": port,
        "from": "pi@example.org",
        "to": "a@example.org, b@example.org",
    }
    return MailAccount.model_validate(values | more)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate that this process believes."""
    path = certificate_for_loopback(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


@pytest.mark.parametrize(
    "password", ["plain", "a/b@c%d:e f?g#h&i", "100%25 \\ \"quoted\" 'too'", "Grüße, Ñandú €"]
)
@pytest.mark.parametrize("tls", ["starttls", "from the start"])
def test_any_password_logs_in(certificate: Path, password: str, tls: Any) -> None:
    with mail_sink(password, certificate, tls) as sink:
        account = _account(sink.port, username=USER, password=password, use_ssl=tls != "starttls")
        mail.send(account, MESSAGE.subject, MESSAGE.body)
    [received] = sink.mails
    assert received["Subject"] == MESSAGE.subject
    assert received["To"] == "a@example.org, b@example.org"
    assert received["From"] == "pi@example.org"
    assert received.get_content().strip().splitlines() == MESSAGE.body.splitlines()


def test_a_server_without_password_and_encryption() -> None:
    with mail_sink() as sink:
        mail.send(_account(sink.port), MESSAGE.subject, MESSAGE.body)
    assert len(sink.mails) == 1


def test_a_password_is_never_sent_in_the_open() -> None:
    with mail_sink("secret") as sink, pytest.raises(MailFailed, match="offers no encryption"):
        mail.send(_account(sink.port, username=USER, password="secret"), "s", "b")
    assert sink.passwords == []
    assert sink.mails == []


def test_a_certificate_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(MailFailed, match="no certificate that can be believed")
    with mail_sink("secret", certificate_for_loopback(tmp_path)) as sink, refused:
        mail.send(_account(sink.port, username=USER, password="secret"), "s", "b")
    assert sink.passwords == []


def test_a_wrong_password_is_said_without_it(certificate: Path) -> None:
    with mail_sink("right", certificate) as sink, pytest.raises(MailFailed) as failed:
        mail.send(_account(sink.port, username=USER, password="hunter2"), "s", "b")
    assert "does not accept username and password (code 535)" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_no_server_at_all() -> None:
    with pytest.raises(MailFailed, match="port 9: Connection refused"):
        mail.send(_account(CLOSED), "s", "b")


def test_every_channel_gets_it_and_a_broken_one_stops_none(capfd: pytest.CaptureFixture[str]) -> None:
    with web_sink() as web, mail_sink() as sink:
        web.statuses = [403]
        alerts = Alerts(
            urls=[
                f"json://token-one:hunter2@127.0.0.1:{web.port}/path-secret",
                f"json://token-two:hunter3@127.0.0.1:{web.port}/",
                f"json://user:hunter4@127.0.0.1:{CLOSED}/",
                "nonsense://token-three",
            ],
            smtp=_account(sink.port),
        )
        done = notify.send(alerts, MESSAGE)
    assert [delivery.error for delivery in done] == [
        "answered with status 403",
        None,
        "could not be reached",
        "is not an address that Apprise understands",
        None,
    ]
    assert [delivery.channel for delivery in done][:1] == ["alerts.urls, number 1 (json)"]
    posted = json.loads(web.requests[1][2])
    assert (posted["title"], posted["message"], posted["type"]) == (MESSAGE.subject, MESSAGE.body, "failure")
    said = capfd.readouterr()
    _no_secret(said.out + said.err + repr(done) + repr(alerts))


def test_apprise_tells_nobody_else(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    notify.send(Alerts(urls=[f"json://token-one:hunter2@127.0.0.1:{CLOSED}/path-secret"]), MESSAGE)
    _no_secret("".join(record.getMessage() for record in caplog.records if record.name.startswith("apprise")))
    said = capfd.readouterr()
    _no_secret(said.out + said.err)


def test_the_libraries_say_nothing_of_their_own_either() -> None:
    # In a process of its own: pytest listens to all logging, and so keeps the last resort from printing it.
    script = f"""if True:
        from loomio_backup.monitoring import notify
        alerts = notify.Alerts(
            urls=["json://token-one:hunter2@127.0.0.1:{CLOSED}/path-secret", "nonsense://token-two",
                  "tgram://token-3", "token-4"],
            ping_url="http://127.0.0.1:{CLOSED}/path-secret",
            smtp={{"server": "127.0.0.1", "port": {CLOSED}, "password": "hunter2", "username": "user",
                   "from": "a@b.c", "to": "d@e.f"}},
        )
        done = [*notify.send(alerts, notify.Message("s", "b")), notify.ping(alerts, well=False)]
        assert all(delivery.error for delivery in done), done
        print(done, alerts)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    _no_secret(done.stdout)


def _no_secret(text: str) -> None:
    for secret in ("hunter", "token-", "path-secret"):
        assert secret not in text, text


def test_a_long_message_is_cut_where_services_would_refuse_it() -> None:
    with web_sink() as web:
        notify.send(Alerts(urls=[f"json://127.0.0.1:{web.port}/"]), Message("s", "x" * 10_000))
    body = json.loads(web.requests[0][2])["message"]
    assert len(body) < 3100
    assert body.endswith("(More on the Pi: loomio-backup status)")


@pytest.mark.parametrize(
    ("path", "fail"),
    [("/uuid", "/uuid/fail"), ("/uuid/", "/uuid/fail"), ("/push/k?msg=OK", "/push/k/fail?msg=OK")],
)
def test_the_dead_mans_switch(path: str, fail: str) -> None:
    with web_sink() as web:
        alerts = Alerts(ping_url=f"http://127.0.0.1:{web.port}{path}")
        for well in (True, False):
            delivery = notify.ping(alerts, well=well)
            assert delivery is not None
            assert delivery.error is None
    assert web.paths == [path, fail]


def test_a_ping_is_tried_again() -> None:
    with web_sink() as web:
        web.statuses = [503, 500]
        delivery = notify.ping(Alerts(ping_url=f"http://127.0.0.1:{web.port}/uuid"), well=True)
    assert delivery is not None
    assert delivery.error is None
    assert len(web.requests) == 3


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (f"http://127.0.0.1:{CLOSED}/uuid-secret", "could not be reached"),
        ("http://[not-an-address/uuid-secret", "is no web address"),
        ("uuid-secret", "is no web address"),
    ],
)
def test_a_ping_that_fails_is_said_without_its_address(
    url: str, error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    delivery = notify.ping(Alerts(ping_url=url), well=False)
    assert delivery is not None
    assert delivery.error == error
    said = capfd.readouterr()
    assert "uuid-secret" not in said.out + said.err + repr(delivery)


def test_a_ping_that_is_refused() -> None:
    with web_sink() as web:
        web.statuses = [404]
        delivery = notify.ping(Alerts(ping_url=f"http://127.0.0.1:{web.port}/uuid"), well=True)
    assert delivery is not None
    assert delivery.error == "answered with status 404"


def test_without_channels_nothing_happens(tmp_path: Path) -> None:
    alerts = notify.load(Credentials(tmp_path))
    assert not alerts.any
    assert notify.send(alerts, MESSAGE) == []
    assert notify.ping(alerts, well=False) is None


@pytest.mark.parametrize(
    "text", ["hunter2", '{"urls": "hunter2"}', '{"hunter": [], "smtp": {"password": "hunter2"}}']
)
def test_a_credential_that_cannot_be_used_is_said_without_its_content(tmp_path: Path, text: str) -> None:
    (tmp_path / "alerts.json").write_text(text)
    with pytest.raises(ConfigError, match="nobody would be told") as failed:
        notify.load(Credentials(tmp_path))
    assert "hunter2" not in str(failed.value)
