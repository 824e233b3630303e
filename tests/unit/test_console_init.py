"""`loomio-pi init` without a Pi: its questions on a terminal, its answers in a file, mail servers, Drive.

With a Pi: tests/lab/test_console_init.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.console import init, init_tests
from deploys.console.init_answers import File
from deploys.console.init_questions import QUESTIONS
from inventories.new_secrets import new_text
from inventories.secrets import load_secrets
from inventories.settings import load_settings
from inventories.validation import SettingsError
from loomio_backup.config import DriveStore
from loomio_backup.encryption import age_passphrase
from loomio_backup.errors import StoreError

from .alert_sinks import USER, certificate_for_loopback, mail_sink
from .operator_desk import PASSPHRASE, Desk
from .stores_bench import DriveBench

#: Nothing listens on port 1, so that a login fails at once.
ANSWERS = {
    "address": "127.0.0.1",
    "port": "1",
    "repository": "https://git.example.org/loomio-pi-stack.git",
    "ref": "v1.2.3",
    "canonical_host": "loomio.example.org",
    "support_email": "help@example.org",
    "smtp": "no",
    "drive": "off",
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.prepare(None)
    (tmp_path / "pi.yml").unlink()
    return desk


@pytest.fixture
def here(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process, on the desk; the passphrase costs little work."""
    for name, value in desk.variables().items():
        if name.startswith("LOOMIO_PI_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(age_passphrase, "_WORK", 8)


def answers(folder: Path, **more: Any) -> Path:
    file = folder / "answers.yml"
    file.write_text(yaml.safe_dump({**ANSWERS, **more}))
    file.chmod(0o600)
    return file


def test_a_person_is_asked_again_and_may_go_on(desk: Desk) -> None:
    typed = {
        "A short name for the Pi [loomio]": "attic",
        "Its address": "not an address!",
        "Try again.": "127.0.0.1",
        "SSH port [22]": "1",
        "The user to log in as": "",
        "The SSH key": "",
        "Your known_hosts file": str(desk.folder / "known_hosts"),
        "[a/g/s]": "g",
        "The password that sudo asks for": "sesame",
        "time zone": "Europe/Berlin",
        "git repository": ANSWERS["repository"],
        "tag or commit": "v1.2.3",
        "The name under which": "loomio.example.org",
        "that people can write to": "help@example.org",
        "name of the site [Loomio]": "Our House",
        "Send mail?": "no",
        "Backups in Google Drive": "off",
        "When to make backups": "",
        "Another way to be told": "",
        "Write the recovery kit now": "no",
    }
    done = desk.type_on_terminal("loomio-pi", "init", answers=typed)
    assert done.code == 0, done.stdout
    assert "sesame" not in done.stdout
    assert "attic (127.0.0.1) cannot be reached" in done.stdout
    assert "Next: loomio-pi deploy setup" in done.stdout
    settings = load_settings(desk.folder / "pi.yml")
    assert (settings.name, settings.stack.site_name) == ("attic", "Our House")
    assert (settings.stack.smtp, settings.backup.drive) == (None, None)
    own = load_secrets(desk.secrets, PASSPHRASE).hosts["attic"].sudo_password
    assert own is not None
    assert own.get_secret_value() == "sesame"


def test_stopping_writes_nothing(desk: Desk) -> None:
    typed = {"name for the Pi": "", "Its address": "127.0.0.1", "SSH port": "1", "user": "", "SSH key": ""}
    typed |= {"known_hosts": "", "[a/g/s]": "s"}
    done = desk.type_on_terminal("loomio-pi", "init", answers=typed)
    assert done.code == 1
    assert "Stopped. Nothing was written." in done.stdout
    assert {path.name for path in desk.folder.iterdir()} == {"passphrase"}


def test_what_does_not_work_yet_can_be_written_all_the_same(
    desk: Desk, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = answers(desk.folder, sudo_password="sesame", settings={"backup": {"retention": {"hourly": 6}}})
    with pytest.raises(SettingsError, match=r"cannot be reached.* Nothing was written\..* add --untested"):
        init.main(["--answers", str(file)])
    assert not (desk.folder / "pi.yml").exists()
    init.main(["--answers", str(file), "--untested"])
    assert "Written all the same (--untested)." in capsys.readouterr().out
    assert load_settings(desk.folder / "pi.yml").backup.retention.hourly == 6
    # The secrets are gone: new ones for the settings that are there.
    desk.secrets.unlink()
    kept = (desk.folder / "pi.yml").read_bytes()
    init.main(["--answers", str(file)])
    assert (desk.folder / "pi.yml").read_bytes() == kept
    assert "loomio" in load_secrets(desk.secrets, PASSPHRASE).hosts
    # The settings are gone: the secrets that are there stay.
    (desk.folder / "pi.yml").unlink()
    before = load_secrets(desk.secrets, PASSPHRASE)
    init.main(["--answers", str(file), "--untested"])
    after = load_secrets(desk.secrets, PASSPHRASE)
    assert (after.app, after.encryption) == (before.app, before.encryption)
    assert after.hosts["loomio"].sudo_password is not None


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"adress": "x"}, "adress is no question that is asked here; did you mean address?"),
        ({"address": "a b"}, "address: 'a b' is not a host name or IP address; asked was: Its address"),
        ({"canonical_host": ["x"]}, "canonical_host is not one line of text"),
        ({"settings": "x"}, "settings is not a group of settings"),
        ({"port": "70000"}, "port: '70000' is not a port"),
        ({"smtp": "maybe"}, "smtp: 'maybe' is neither yes nor no"),
        ({"drive": "dropbox"}, "drive: 'dropbox' is none of account, service, off"),
        (
            {"settings": {"backup": {"drive": {"folder_name": "x"}}}},
            "backup.drive is off after what else they",
        ),
        ({"settings": {"backup": {"shedule": "x"}}}, "did you mean backup.schedule?"),
    ],
    ids=str,
)
def test_answers_that_are_none(tmp_path: Path, here: None, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        init.main(["--answers", str(answers(tmp_path, **more)), "--untested"])
    assert sentence in str(caught.value)
    assert not (tmp_path / "pi.yml").exists()


def test_a_file_with_secrets_has_to_be_private(tmp_path: Path) -> None:
    file = answers(tmp_path, smtp_password="sentinel")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match=r"smtp_password is secret, and .* chmod 600") as caught:
        File(file, QUESTIONS, untested=False)
    assert "sentinel" not in str(caught.value)


def test_logging_in_to_a_mail_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate_for_loopback(tmp_path)
    with mail_sink("right", pem) as sink:
        with pytest.raises(SettingsError, match="no TLS came about"):
            init_tests.mail("127.0.0.1", sink.port, use_ssl=False, username=USER, password="right")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        init_tests.mail("127.0.0.1", sink.port, use_ssl=False, username=USER, password="right")
        with pytest.raises(SettingsError, match=r"does not accept alerts@example\.org") as caught:
            init_tests.mail("127.0.0.1", sink.port, use_ssl=False, username=USER, password="sentinel")
        assert "sentinel" not in str(caught.value)
        with pytest.raises(SettingsError, match="no TLS came about"):
            init_tests.mail("127.0.0.1", sink.port, use_ssl=True, username=USER, password="right")
    with pytest.raises(SettingsError, match=r"port \d+ cannot be reached"):
        init_tests.mail("127.0.0.1", sink.port, use_ssl=False, username=None, password=None)
    with mail_sink(None) as sink:
        init_tests.mail("127.0.0.1", sink.port, use_ssl=False, username=None, password=None)
        # A password is not sent to a server that does not encrypt.
        with pytest.raises(SettingsError, match="no TLS"):
            init_tests.mail("127.1", sink.port, use_ssl=False, username=USER, password="sentinel")
    assert sink.passwords == []


def test_trying_out_a_drive(kit_drive: DriveBench) -> None:
    lab = kit_drive.lab
    store = DriveStore(api_root=kit_drive.emulator.url, token_uri=lab.token_uri)
    user = lab.register_user("init@example.org")
    assert init_tests.drive(store, user) == 0
    with pytest.raises(StoreError) as caught:
        init_tests.drive(store, {**user, "refresh_token": "1//dead"})
    assert "1//dead" not in str(caught.value)
    assert json.dumps(user["client_secret"]) not in str(caught.value)


def test_an_older_stack_is_taken_over(
    desk: Desk, here: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = yaml.safe_load(new_text([]))["app"]
    env = desk.folder / "old.env"
    env.write_text(
        "CANONICAL_HOST=old.example.org\nSUPPORT_EMAIL=old@example.org\nTZ=Europe/Paris\nODD=1\n"
        "BACKUP_SCHEDULE=0 */6 * * *\nBACKUP_RETENTION_DAYS=30\nGDRIVE_ENABLED=false\n"
        "BACKUP_ENCRYPTION_KEY=sentinel-of-old\n"
        + "".join(f"{name.upper()}={value}\n" for name, value in old.items() if value)
    )
    file = desk.folder / "answers.yml"
    given = {name: ANSWERS[name] for name in ("address", "port", "repository", "ref")}
    file.write_text(yaml.safe_dump(given))
    assert init.main(["--answers", str(file), "--untested", "--import-env", str(env)]) == 0
    out, err = capsys.readouterr()
    assert "Not carried over: ODD." in err
    assert [value for value in ("sentinel-of-old", *old.values()) if value and value in out + err] == []
    settings = load_settings(desk.folder / "pi.yml")
    assert (settings.stack.canonical_host, settings.timezone) == ("old.example.org", "Europe/Paris")
    assert (settings.backup.schedule, settings.backup.retention.days) == ("0 */6 * * *", 30)
    assert (settings.backup.drive, settings.stack.smtp) == (None, None)
    held = load_secrets(desk.secrets, PASSPHRASE)
    assert held.encryption.legacy_passphrase is not None
    assert held.encryption.legacy_passphrase.get_secret_value() == "sentinel-of-old"
    assert held.app.secret_key_base.get_secret_value() == old["secret_key_base"]
    assert held.app.vapid_public_key.get_secret_value() == old["vapid_public_key"]
