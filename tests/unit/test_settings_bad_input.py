"""Whatever is wrong with settings or secrets, pyinfra's inventory refuses with one sentence that says where
it is and what to do, and no Pi is contacted.
"""

from __future__ import annotations

import json
import runpy
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyinfra.api.exceptions import InventoryError

from inventories.new_secrets import new_text
from inventories.settings import ROOT

from . import operator_desk
from .deploys_desk import merged
from .operator_desk import Desk

SETTINGS: dict[str, Any] = {
    "hosts": {"loomio": {"address": "127.0.0.1"}},
    "timezone": "Europe/Berlin",
    "stack": {
        "repository": "https://git.example.org/loomio-pi-stack.git",
        "ref": "v1.2.3",
        "canonical_host": "loomio.example.org",
        "support_email": "help@example.org",
    },
    "backup": {"schedule": "0 * * * *"},
}
SECRETS: dict[str, Any] = yaml.safe_load(new_text(["loomio"]))
OTHER: dict[str, Any] = yaml.safe_load(new_text([]))
TWO = {"hosts": {"b": {"address": "127.0.0.2", "settings": {"stack": {"canonical_host": "b.example.org"}}}}}


@dataclass
class Pi:
    """A Pi's address that notices whoever knocks, and the desk of its operator."""

    desk: Desk
    door: socket.socket

    def write(self, settings: dict[str, Any] | str, secrets: dict[str, Any] | str) -> None:
        if not isinstance(settings, str):
            port = {"hosts": {"loomio": {"port": self.door.getsockname()[1]}}}
            settings = yaml.safe_dump(merged(merged(SETTINGS, port), settings), sort_keys=False)
        if not isinstance(secrets, str):
            secrets = yaml.safe_dump(merged(SECRETS, secrets), sort_keys=False)
        self.desk.prepare(operator_desk.encrypted(secrets))
        (self.desk.folder / "pi.yml").write_text(settings)

    @property
    def contacted(self) -> bool:
        try:
            self.door.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def refusal(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """What the inventory says, without this test's folder."""
        for name, value in self.desk.variables().items():
            if name.startswith("LOOMIO_PI_"):
                monkeypatch.setenv(name, value)
        with pytest.raises(InventoryError) as caught:
            runpy.run_path(str(ROOT / "inventories" / "pi.py"))
        return str(caught.value).replace(f"{self.desk.folder}/", "")


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Pi]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        yield Pi(Desk(tmp_path), door)


def setting(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


#: What is wrong, by its kind: more settings, and what the sentence has to name.
BAD_SETTINGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "misspelt key": (setting("backup.shedule", "x"), ("backup.shedule", "did you mean backup.schedule?")),
    "misplaced key": (setting("canonical_host", "x"), ("did you mean stack.canonical_host?",)),
    "wrong type": (setting("backup.jitter_seconds", "soon"), ("'soon' is not a whole number", "0 to 3600")),
    "text where a group is": (setting("monitoring", "yes please"), ("is not a group of keys",)),
    "impossible cron": (setting("backup.schedule", "0 25 * * *"), ("'0 25 * * *'", "Bad hour")),
    "cron that never comes": (setting("backup.schedule", "0 0 31 2 *"), ("'0 0 31 2 *'", "Bad day-of-month")),
    "unknown time zone": (setting("timezone", "Europe/Berln"), ("'Europe/Berln' is not a time zone",)),
    "bad web address": (setting("docker.apt_url", "docker.com"), ("'docker.com' is not a web address",)),
    "bad repository": (setting("stack.repository", "ftp://x/y"), ("not the address of a git repository",)),
    "password in an address": (
        setting("stack.repository", "https://me:hunter2@git.example.org/x"),
        ("stack.repository holds a password",),
    ),
    "bad mail address": (setting("stack.support_email", "help"), ("'help' is not a mail address",)),
    "bad age recipient": (
        setting("encryption.extra_recipients", ["age1nobody"]),
        ("encryption.extra_recipients[1]", "'age1nobody' is not an age recipient"),
    ),
    "bad size": (setting("backup.retention.space_limit", "10 gigs"), ("'10 gigs' is not a size", "10 GB")),
    "bad rate": (setting("backup.drive.upload_limit", "fast"), ("'fast' is not a rate", "4 Mbit/s")),
    "port out of range": (setting("hosts.loomio.port", 70000), ("'70000' is too large", "1 to 65535")),
    "not one of the choices": (setting("docker.source", "podman"), ("'podman' is not one of the choices",)),
    "a key file that is not there": (setting("hosts.loomio.ssh_key", "absent"), ("'absent' is not there",)),
    "relative path on the Pi": (setting("stack.directory", "loomio"), ("'loomio' is not an absolute path",)),
    "secret among the settings": (
        setting("stack.environment", {"SECRET_KEY_BASE": "x"}),
        ("SECRET_KEY_BASE, which is a secret", "loomio-pi secrets edit"),
    ),
    "nothing to keep backups in": (setting("backup.local", False), ("backup has no store",)),
    "missing": (setting("stack.ref", None), ("stack.ref is empty", "the tag, branch or commit")),
    "same Pi twice": (
        {"hosts": {"b": {"address": "127.0.0.1", "port": 22}, "c": {"address": "127.0.0.1", "port": 22}}},
        ("hosts.c.address is the same as of b (127.0.0.1, port 22)",),
    ),
    "mistake in what differs on one Pi": (
        merged(TWO, setting("hosts.b.settings.stack.ref", 1.5)),
        ("hosts.b.settings.stack.ref", "'1.5' is not text to YAML", "in quotes"),
    ),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_a_bad_setting(pi: Pi, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    more, named = BAD_SETTINGS[kind]
    pi.write(more, {})
    sentence = pi.refusal(monkeypatch)
    assert sentence.startswith("pi.yml:")
    assert "\n" not in sentence
    assert "hunter2" not in sentence
    for words in named:
        assert words in sentence
    assert not pi.contacted


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (
            "twice",
            "timezone: Etc/UTC\ntimezone: Etc/UTC\n",
            "pi.yml:2: timezone is there twice (first in line 1)",
        ),
        ("tab", "stack:\n\tref: v1\n", "pi.yml:2: this is not valid YAML (found character '\\t'"),
        ("no YAML", "stack: [\n", "pi.yml:2: this is not valid YAML"),
        ("empty", "", "pi.yml is empty."),
        ("a list", "- a\n", "pi.yml:1: a list of keys and values is expected"),
    ],
)
def test_a_file_that_is_none(
    pi: Pi, kind: str, text: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.write(text, {})
    assert pi.refusal(monkeypatch).startswith(sentence), kind
    assert not pi.contacted


CLIENT = {"installed": {"client_id": "i", "client_secret": "sentinel"}}
BAD_SECRETS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "misspelt": (
        {},
        {"app": {"smtp_pasword": "sentinel"}},
        ("app.smtp_pasword", "did you mean app.smtp_password?"),
    ),
    "missing": ({}, {"app": {"devise_secret": None}}, ("app.devise_secret is empty",)),
    "credentials of the wrong kind": (
        setting("backup.drive", {}),
        {"drive": {"credentials": CLIENT}},
        ("drive.credentials is an OAuth client only",),
    ),
    "credentials of nobody's": (
        {},
        {"drive": {"credentials": {"type": "sentinel"}}},
        ("neither authorized_user",),
    ),
    "no credentials": (
        setting("backup.drive", {}),
        {},
        ("drive.credentials is missing", "loomio-pi authorize"),
    ),
    "no mail password": (
        setting("stack.smtp", {"server": "mail.example.org", "username": "me"}),
        {},
        ("app.smtp_password is missing", "loomio-pi secrets edit"),
    ),
    "not an identity": (
        {},
        {"encryption": {"identity": "sentinel"}},
        ("encryption.identity is not an age identity",),
    ),
    "a key that is not its pair": (
        {},
        {"app": {"vapid_public_key": OTHER["app"]["vapid_public_key"]}},
        ("a vapid_public_key that does not belong to",),
    ),
    "alert to nowhere": ({}, {"alerts": {"urls": ["sentinel"]}}, ("alerts.urls[1] is not an address",)),
    "secrets of a Pi that is none": ({}, {"hosts": {"lomio": {}}}, ("hosts.lomio is no Pi of the settings",)),
    "no passphrase for the older format": (
        setting("backup.format", "fernet"),
        {},
        ("encryption.legacy_passphrase is missing", "loomio-pi secrets edit"),
    ),
    "two Pis with the same keys": (
        TWO,
        {},
        ("hosts.b.secrets.app is missing", "loomio-pi secrets add-host b"),
    ),
    "half the keys of a Pi": (
        TWO,
        {"hosts": {"b": {"secrets": {"app": {"devise_secret": "sentinel"}}}}},
        ("hosts.b.secrets.app.postgres_password is missing",),
    ),
    "no such group of a Pi": (
        TWO,
        {"hosts": {"b": {"secrets": {"apps": {}}}}},
        ("hosts.b.secrets.apps is not a known key", "app"),
    ),
}


@pytest.mark.parametrize("kind", BAD_SECRETS)
def test_a_bad_secret(pi: Pi, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, secrets, named = BAD_SECRETS[kind]
    pi.write(settings, secrets)
    sentence = pi.refusal(monkeypatch)
    assert sentence.startswith("secrets.yml.age:")
    assert "sentinel" not in sentence
    for words in named:
        assert words in sentence
    assert not pi.contacted


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("wrong", "The secrets file secrets.yml.age does not open with this passphrase."),
        ("empty", "The passphrase file passphrase (LOOMIO_PI_PASSPHRASE_FILE) is empty"),
        ("open to all", "can be read by other users of this machine. Type: chmod 600"),
        ("no file", "The passphrase file passphrase (LOOMIO_PI_PASSPHRASE_FILE) cannot be read"),
        (
            "no secrets",
            "The secrets file secrets.yml.age is not there. Make a new one with: loomio-pi secrets",
        ),
        ("damaged", "is damaged, or is not an age file with a passphrase"),
    ],
)
def test_a_file_that_does_not_open(
    pi: Pi, change: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.write({}, {})
    word, file = pi.desk.folder / "passphrase", pi.desk.secrets
    match change:
        case "wrong":
            word.write_text("another passphrase\n")
        case "empty":
            word.write_text("")
        case "open to all":
            word.chmod(0o644)
        case "no file":
            word.unlink()
        case "no secrets":
            file.unlink()
        case _:
            file.write_bytes(file.read_bytes()[:-40])
    assert sentence in pi.refusal(monkeypatch)
    assert not pi.contacted


def test_the_program_itself_says_so_too(pi: Pi) -> None:
    pi.write(setting("backup.shedule", "x"), {})
    done = pi.desk.type("loomio-pi", "deploy", "setup")
    assert done.code == 1
    assert done.stdout == ""
    assert done.stderr.count("did you mean backup.schedule?") == 1
    assert "Traceback" not in done.stderr
    assert not pi.contacted


def test_a_name_twice_in_json_is_seen(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(SETTINGS).replace('"timezone":', '"timezone": "Etc/UTC", "timezone":')
    pi.write(text, {})
    assert "timezone is there twice" in pi.refusal(monkeypatch)
