"""`loomio-pi init` on real parts: a Pi over SSH, a mail server, a Drive; then what `doctor` says about it."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from inventories.secrets import load_secrets
from inventories.settings import load_settings
from tests.unit.alert_sinks import USER, certificate_for_loopback, mail_sink
from tests.unit.operator_desk import PASSPHRASE, Desk, Finished

from . import pi
from .drive import DriveEmulator, LabDrive
from .lab import LABEL, remove

pytestmark = pytest.mark.lab
SUDO = 'it\'s a "sesame"'
MAIL = "mail-sentinel"


@dataclass
class Bench:
    """A Pi, a mail server and a Drive, and the answers that are true of them."""

    folder: Path
    answers: dict[str, Any]
    certificate: Path

    def desk(self, name: str) -> Desk:
        folder = self.folder / name
        folder.mkdir()
        desk = Desk(folder, {"SSL_CERT_FILE": str(self.certificate)})
        desk.prepare(None)
        (folder / "pi.yml").unlink()
        return desk

    def init(self, desk: Desk, *options: str, **more: Any) -> Finished:
        file = desk.folder / "answers.yml"
        file.write_text(yaml.safe_dump({**self.answers, **more}))
        file.chmod(0o600)
        return desk.type("loomio-pi", "init", "--answers", str(file), *options)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("init")
    name = f"loomio-lab-init-{secrets.token_hex(3)}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    pem = certificate_for_loopback(folder)
    try:
        there = pi.start(
            name,
            "trixie",
            network="bridge",
            label=f"{LABEL}={name}",
            key=folder / "key.pub",
            sudo_password=SUDO,
        )
        with DriveEmulator(folder / "drive") as emulator, mail_sink(MAIL, pem) as sink:
            lab = LabDrive(emulator.url)
            credentials = folder / "credentials.json"
            credentials.write_text(json.dumps(lab.register_user()))
            drive = {"api_root": emulator.url, "token_uri": lab.token_uri}
            answers = {
                "name": "attic",
                "address": "127.0.0.1",
                "port": str(there.ssh_port),
                "ssh_key": str(folder / "key"),
                "known_hosts": str(folder / "known_hosts"),
                "sudo_password": SUDO,
                "timezone": "Europe/Berlin",
                "repository": "https://git.example.org/loomio-pi-stack.git",
                "ref": "v1.2.3",
                "canonical_host": "loomio.example.org",
                "support_email": "help@example.org",
                "smtp_server": "127.0.0.1",
                "smtp_port": str(sink.port),
                "smtp_username": USER,
                "smtp_password": MAIL,
                "drive": "account",
                "drive_credentials": str(credentials),
                "settings": {"backup": {"drive": drive, "retention": {"hourly": 6}}},
            }
            yield Bench(folder, answers, pem)
    finally:
        remove(name)


def test_what_works_is_written_and_a_second_run_keeps_it(bench: Bench) -> None:
    desk = bench.desk("good")
    done = bench.init(desk)
    assert (done.code, done.stderr) == (0, "")
    assert "Logged in as pi, who may use sudo: Debian GNU/Linux 13" in done.stdout
    assert "127.0.0.1 can be used with this login." in done.stdout
    assert "The Drive folder can be used, with 0 backups in it" in done.stdout
    assert done.stdout.endswith("Next: loomio-pi deploy setup\n")
    for secret in (SUDO, MAIL, PASSPHRASE):
        assert secret not in done.stdout
    settings = load_settings(desk.folder / "pi.yml")
    assert (settings.name, settings.timezone) == ("attic", "Europe/Berlin")
    assert settings.backup.retention.hourly == 6
    assert settings.stack.smtp is not None
    assert settings.stack.smtp.username == USER
    held = load_secrets(desk.secrets, PASSPHRASE)
    own = held.hosts["attic"].sudo_password
    assert own is not None
    assert own.get_secret_value() == SUDO
    assert held.alerts.smtp is not None
    assert held.alerts.smtp.to == "help@example.org"
    assert desk.secrets.stat().st_mode & 0o077 == 0

    before = ((desk.folder / "pi.yml").read_bytes(), desk.secrets.read_bytes())
    again = bench.init(desk, canonical_host="other.example.org")
    assert again.code == 0
    assert "are there, and are kept as they are." in again.stdout
    assert ((desk.folder / "pi.yml").read_bytes(), desk.secrets.read_bytes()) == before

    # The settings are the example's, explanations included, and pyinfra takes them.
    assert "# Nothing in here is secret" in (desk.folder / "pi.yml").read_text()
    shown = desk.type("pyinfra", "inventories/pi.py", "debug-inventory")
    assert shown.code == 0, shown.stderr

    doctor = desk.type("loomio-pi", "doctor")
    assert doctor.code == 1
    lines = [line.strip() for line in doctor.stdout.splitlines()]
    assert [line for line in lines if line.startswith("PROBLEM")] == [
        "PROBLEM  Docker is not installed: this Pi was not set up yet"
    ]
    assert "→ loomio-pi deploy setup" in lines
    assert "ok       pi can use sudo with the password" in lines
    assert "ok       its clock is right" in lines


def test_who_is_not_let_in_is_told_and_nothing_is_written(bench: Bench) -> None:
    desk = bench.desk("refused")
    for wrong, sentence in (
        ({"user": "nobody-known"}, "attic (127.0.0.1) does not let you in"),
        ({"sudo_password": "not this one"}, "sudo on attic refuses"),
    ):
        done = bench.init(desk, **wrong)
        assert done.code == 1
        assert sentence in done.stderr
        assert "Nothing was written." in done.stderr
        assert "not this one" not in done.stderr
        assert not (desk.folder / "pi.yml").exists()
        assert not desk.secrets.exists()
