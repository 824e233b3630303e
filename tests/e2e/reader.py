"""Somebody who reads the handbook and types what it says: on a Pi that was set up and used, and on their own
computer, in a folder of theirs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from inventories.secrets import Secrets, load_secrets
from tests.lab import cloud
from tests.lab.data import Spec
from tests.lab.docker import REPOSITORY, wait_until
from tests.lab.drill import operator as desk
from tests.lab.drill.editor import merge
from tests.lab.drill.life import fill
from tests.lab.drill.operator import HOST, Operator
from tests.lab.lab import Lab
from tests.lab.pi import Pi

SPEC = Spec(seed=11, db_mb=2, files_mb=2)
USER = "group@example.org"
#: Of the file in the older scripts' format, tests/unit/vectors.
PASSPHRASE_OF_THE_VECTOR = "5f0c9a7e3b1d4c2286ad90e1b7c34f58d1e2a3b4c5d6e7f8091a2b3c4d5e6f70"
_TIMER = "/etc/systemd/system/loomio-backup.timer"
#: Both programs keep to one run at a time. Schedules of the pages are real, so one may just be going on.
_TAKEN = "was not started: another one is running"


@dataclass(frozen=True)
class Typed:
    """What a command came to."""

    code: int
    output: str


@dataclass
class Reader:
    """`folder` is where they type on their computer. `page` is the page that is read just now."""

    lab: Lab
    pi: Pi
    operator: Operator
    folder: Path
    page: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    edits: dict[str, Any] = field(default_factory=dict)
    #: What the sink had before alerts were tried out.
    sink_before: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    former_identity: str = ""
    #: Settings and secrets when they were last given to the Pi.
    given: tuple[str, Secrets] | None = None

    # -- typing ----------------------------------------------------------------------------------------------

    def type(self, where: str, command: str, folder: str | None = None) -> Typed:
        """Type a command `pi` or on the `computer`, in `folder` or where one is after logging in."""
        if command == "loomio-pi deploy setup":
            return self._set_up(command)
        if "NAME" in command:
            command = command.replace("NAME", self.newest()["name"])
        found: list[Typed] = []

        def done() -> bool:
            found.append(self._on_the_pi(command, folder) if where == "pi" else self._here(command))
            return _TAKEN not in found[-1].output

        wait_until(done, f"the end of what runs, for {command}", seconds=120, every=2)
        return found[-1]

    def _set_up(self, command: str) -> Typed:
        """With the same settings and secrets as before it would change nothing (test_life.py does that)."""
        now = (self.operator.settings_file.read_text(), self._secrets())
        if now == self.given:
            return Typed(0, "all is as declared")
        typed = self._here(command)
        self.given = now
        return typed

    def _on_the_pi(self, command: str, folder: str | None) -> Typed:
        script = f"set -o pipefail; cd {folder or '~'} && {command}"
        options = ["-F", "/dev/null", "-o", "BatchMode=yes", "-i", str(self.lab.ssh_key)]
        options += ["-o", f"UserKnownHostsFile={self.operator.folder / 'known_hosts'}"]
        return _run(["ssh", *options, "-p", str(self.pi.ssh_port), "pi@127.0.0.1", script])

    def _here(self, command: str) -> Typed:
        edits = self.folder / "edits.json"
        edits.write_text(json.dumps(self.edits))
        python = f"{sys.executable} -m tests.lab"
        environment = {
            **self.operator.environment,
            "HOME": str(self.folder),
            "PYTHONPATH": str(REPOSITORY),
            "EDITOR": f"{python}.drill.editor",
            "LAB_EDITS": str(edits),
            "BROWSER": f"{python}.drive.browser --email {USER} %s",
        }
        # What is compared with the Pi, or put on it, has the addresses that hold there.
        if not command.startswith(("loomio-pi deploy", "loomio-pi drift")):
            environment["LOOMIO_PI_SETTINGS"] = str(self._settings_from_here())
        typed = _run(["bash", "-c", f"set -o pipefail; {command}"], cwd=self.folder, env=environment)
        if command == "loomio-pi secrets edit":
            self.edits = {}
        return typed

    # -- settings and secrets --------------------------------------------------------------------------------

    def change_settings(self, text: str) -> None:
        """Put a part of a settings file into the operator's own."""
        merge(self.settings, yaml.safe_load(text))
        self.operator.settings_file.write_text(yaml.safe_dump(self.settings, sort_keys=False))

    def wish_secrets(self, text: str) -> None:
        """What the next `loomio-pi secrets edit` puts in; addresses are those of the lab."""
        edits = yaml.safe_load(text)
        if alerts := edits.get("alerts"):
            alerts |= {"urls": [cloud.ALERTS_URL], "ping_url": cloud.PING_URL}
            # The lab's mail server wants no password, and takes mail without encryption.
            alerts["smtp"] |= {"server": "cloud", "port": 25, "username": None, "password": None}
        merge(self.edits, edits)

    def _settings_from_here(self) -> Path:
        """The settings, with Drive's addresses as this machine reaches them; beside the same secrets."""
        settings = json.loads(json.dumps(self.settings))
        url = f"http://127.0.0.1:{self.lab.cloud.drive_port}/"
        settings["backup"]["drive"] |= {
            "api_root": url,
            "token_uri": f"{url}token",
            "auth_uri": f"{url}o/oauth2/v2/auth",
            "device_uri": f"{url}device/code",
        }
        path = self.operator.folder / "from-here.yml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        return path

    def identity(self) -> str:
        """What stands after encryption.identity in the secrets."""
        return self._secrets().encryption.identity.get_secret_value()

    def _secrets(self) -> Secrets:
        passphrase = (self.operator.folder / "passphrase").read_text().strip()
        return load_secrets(self.operator.folder / "secrets.yml.age", passphrase)

    def move_to_a_shared_drive(self) -> None:
        """Let the Pi use a shared drive in which it cannot delete, and have a manager's access at hand."""
        drive = self.lab.cloud.drive
        member = drive.register_service_account("pi@project.iam.gserviceaccount.com")
        manager = drive.register_service_account("manager@project.iam.gserviceaccount.com")
        members = {member["client_email"]: "writer", manager["client_email"]: "organizer"}
        shared = drive.register_shared_drive("Group", members)
        self.change_settings(f"backup: {{drive: {{shared_drive_id: {shared}, append_only: true}}}}")
        self.edits = {"drive": {"credentials": member, "manager_credentials": manager}}
        for where, command in (
            ("computer", "loomio-pi secrets edit"),
            ("computer", "loomio-pi deploy setup"),
            # With a label it goes there at once, although it is not Drive's turn.
            ("pi", "sudo loomio-backup run --label moved"),
        ):
            typed = self.type(where, command)
            assert typed.code == 0, typed.output

    # -- looking ---------------------------------------------------------------------------------------------

    def backups(self, store: str | None = None) -> list[dict[str, Any]]:
        """What `loomio-backup list --json` says."""
        only = ["--store", store] if store else []
        found: list[dict[str, Any]] = json.loads(self.pi.run("loomio-backup", "list", "--json", *only))
        return found

    def newest(self) -> dict[str, Any]:
        """The newest backup in the list."""
        return self.backups()[0]

    def shown(self) -> dict[str, Any]:
        """What `loomio-backup show` says of the newest."""
        found: dict[str, Any] = json.loads(
            self.pi.run("loomio-backup", "show", self.newest()["name"], "--json")
        )
        return found

    def carry(self, file: str) -> None:
        """Bring a file over on the disk that it is on."""
        with (
            self.pi.stream("cat", file) as source,
            (self.folder / Path(file).name).open("wb") as copy,
        ):
            while block := source.read(1 << 20):
                copy.write(block)


def _run(command: list[str], **options: Any) -> Typed:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=600,
        **options,
    )
    return Typed(done.returncode, done.stdout)


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    """A Pi that was set up and used, with an empty disk at /mnt/usb, and its operator's computer."""
    typing = folder / "computer"
    (typing / "Downloads").mkdir(parents=True)
    with Lab(folder, "trixie", sudo_password=False) as lab:
        pi = lab.new_pi()
        credentials = lab.cloud.drive.register_user(USER)
        operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=credentials)
        pi.run("mkdir", "-p", "/mnt/usb")
        pi.run("mount", "-t", "tmpfs", "usb", "/mnt/usb")
        finished = operator.deploy("setup")
        assert finished.code == 0, finished.output[-4000:]
        # One that comes by itself while a page is tried would be newer than the one that was typed.
        pi.run("mkdir", f"{_TIMER}.d")
        pi.run("tee", f"{_TIMER}.d/never.conf", input=b"[Timer]\nOnCalendar=\nOnCalendar=2100-01-01\n")
        pi.run("systemctl", "daemon-reload")
        fill(pi, SPEC)
        # What Google lets people download about their client.
        client = {key: credentials[key] for key in ("client_id", "client_secret")}
        (typing / "Downloads" / "client_secret_….json").write_text(json.dumps({"installed": client}))
        settings = yaml.safe_load(operator.settings_file.read_text())
        assert list(settings["hosts"]) == [HOST]
        yield Reader(lab, pi, operator, typing, settings=settings)
