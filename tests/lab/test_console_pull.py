"""The operator's copy: a Pi comes back from it when Drive is dead, too; and it comes over real SSH."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path

import pytest

from inventories.new_secrets import new_text
from inventories.secrets import checked
from loomio_backup.config import DriveStore
from tests.unit import operator_desk
from tests.unit.operator_desk import SETTINGS, Desk
from tests.unit.pull_bench import PiBackups

from . import pi
from .agent_site import Site, site
from .docker import docker
from .drive import DriveEmulator, LabDrive
from .lab import LABEL, remove

pytestmark = pytest.mark.lab


def _desk(folder: Path, text: str, settings: str) -> Desk:
    folder.mkdir()
    desk = Desk(folder)
    desk.prepare(operator_desk.encrypted(text))
    (folder / "pi.yml").write_text(settings)
    return desk


def _secrets_of(made: Site, drive: str) -> str:
    """The secrets file that belongs to a site."""
    text = new_text(["loomio"])
    keys = checked(text, "x").encryption
    return (
        text.replace(keys.identity.get_secret_value(), made.identity)
        .replace(keys.signing_key.get_secret_value(), made.signing_key)
        .replace("  credentials:\n", f"  credentials: {drive}\n", 1)
    )


def test_a_pi_comes_back_from_the_copy_after_drive_and_pi_died(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        secret = json.dumps(lab.register_user())
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri)
        with site(tmp_path / "pi", "pull-old", drive=drive, drive_secret=secret) as old:
            old.fill()
            old.must("run")
            (old.uploads / "later").write_text("later")
            old.must("run")
            text = _secrets_of(old, secret)
            settings = (
                f"{SETTINGS}backup:\n  drive: {{api_root: {emulator.url}, token_uri: {lab.token_uri}}}\n"
            )
            desk = _desk(tmp_path / "desk", text, settings)
            copy = tmp_path / "copy"
            done = desk.type("loomio-pi", "pull", str(copy))
            assert (done.code, done.stderr) == (0, "")
            assert "2 backups are complete here" in done.stdout
            wanted = (old.database_text(), old.files_text())
            folder = next(one["id"] for one in lab.files() if one["name"] == "Loomio backups")
            emulator.tree.remove(emulator.tree.files[folder])
            done = desk.type("loomio-pi", "pull", str(copy))
            assert done.code == 1
            assert "the source holds no backup that can be believed" in done.stderr
            with site(tmp_path / "fresh", "pull-new", local=copy, keys=old) as new:
                new.must("restore", "--newest", "--unattended")
                assert (new.database_text(), new.files_text()) == wanted
                # It goes on as an ordinary store, and what the copy adds does not disturb it.
                new.must("run")
                new.must("check", "--store", "local")


def test_it_comes_over_ssh_from_a_pi(tmp_path: Path) -> None:
    name = f"loomio-lab-pull-{secrets.token_hex(3)}"
    word = 'it\'s a "sesame"'
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    try:
        there = pi.start(
            name,
            "trixie",
            network="bridge",
            label=f"{LABEL}={name}",
            key=tmp_path / "key.pub",
            sudo_password=word,
        )
        text = new_text(["loomio"])
        made = PiBackups(tmp_path / "made", text)
        for number in range(3):
            made.make([f"app-data_{number}", "app-data_shared"])
        there.run("mkdir", "-p", "-m", "0700", "/var/backups/loomio")
        docker("cp", f"{made.folder}/.", f"{name}:/var/backups/loomio")
        there.run("chown", "-R", "root:root", "/var/backups/loomio")
        there.run("chmod", "-R", "go=", "/var/backups/loomio")
        text = text.replace("    sudo_password:", f"    sudo_password: {json.dumps(word)}")
        settings = SETTINGS.replace(
            "    address: 192.0.2.1\n",
            f"    address: 127.0.0.1\n    port: {there.ssh_port}\n    ssh_key: {tmp_path}/key\n"
            "    known_hosts: known hosts\n",
        )
        desk = _desk(tmp_path / "desk", text, settings)
        done = desk.type("loomio-pi", "pull", str(tmp_path / "copy"))
        assert (done.code, done.stderr) == (0, "")
        assert "3 backups are complete here" in done.stdout
        for path in made.folder.iterdir():
            assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()
        assert (desk.folder / "known hosts").exists()
        # The connection that was shared is gone, too.
        assert "pi@notty" not in there.run("ps", "-eo", "args")
        assert "sesame" not in there.run(
            "sh", "-c", "cat /var/log/auth.log 2>/dev/null; journalctl --no-pager"
        )
    finally:
        remove(name)
