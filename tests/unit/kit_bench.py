"""What the tests of the recovery kit share: an old computer with backups in Drive, and a new one with
nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploys.steps.paths import OPERATOR
from inventories.new_secrets import new_text
from inventories.secrets import Secrets, checked
from inventories.secrets_edit import with_values
from tests.paper import Paper
from tests.unit import operator_desk
from tests.unit.operator_desk import PASSPHRASE, SETTINGS, Desk, Finished
from tests.unit.pull_bench import PiBackups
from tests.unit.stores_bench import DriveBench

EMAIL = "group@example.org"
FOLDER = "Sauvegardes à l'abri"
_counter = iter(range(1_000_000))


class Old:
    """The old computer, and what lies in Drive, in a folder of this test's own."""

    def __init__(self, folder: Path, bench: DriveBench) -> None:
        self.bench = bench
        self.folder_name = f"{FOLDER} {next(_counter)}"
        self.credentials = bench.lab.register_user(EMAIL)
        text = with_values(new_text(["loomio"]), {("drive", "credentials"): self.credentials})
        self.text = text.replace("    sudo_password:", "    sudo_password: from the old days  # mine")
        folder.mkdir()
        self.desk = Desk(folder)
        self.desk.prepare(None)
        url = bench.emulator.url
        self.settings = (
            f"# What I think about the Pi.\n{SETTINGS}backup:\n  drive:\n"
            f"    folder_name: {self.folder_name}\n"
            f"    api_root: {url}\n    token_uri: {url}token\n    auth_uri: {url}o/oauth2/v2/auth\n"
            f"    device_uri: {url}device/code\n"
        )
        self.pi = PiBackups(folder / "store", self.text)
        self.store = bench.store(self.credentials, folder_name=self.folder_name)
        self.write_settings(self.settings)
        self.change_secrets({})

    @property
    def secrets(self) -> Secrets:
        return checked(self.text, "x")

    @property
    def identity(self) -> str:
        return self.secrets.encryption.identity.get_secret_value()

    def write_settings(self, text: str) -> None:
        self.settings = text
        (self.desk.folder / "pi.yml").write_text(text)
        self._declare()

    def change_secrets(self, values: Mapping[tuple[str, str], Any]) -> None:
        """As with `secrets edit`, and a setup afterwards: later backups are made with them."""
        self.text = with_values(self.text, values)
        self.desk.secrets.write_bytes(operator_desk.encrypted(self.text))
        self._declare()

    def _declare(self) -> None:
        self.pi.secrets_text = self.text
        if self.desk.secrets.exists():
            self.pi.config = {
                f"files{OPERATOR}/pi.yml": self.settings,
                f"files{OPERATOR}/secrets.yml.age": self.desk.secrets.read_text(),
                "env": self.env(),
            }

    def env(self) -> str:
        app = self.secrets.app
        values = {name: getattr(app, name) for name in type(app).model_fields}
        return "".join(f"{name.upper()}={one.get_secret_value()}\n" for name, one in values.items() if one)

    def back_up(self) -> str:
        """One more backup, in Drive; its name."""
        made = self.pi.make()
        self.pi.send_to(self.store)
        return made.name

    def print_kit(self, *options: str) -> Paper:
        """Print the page, and delete the file."""
        file = self.desk.folder / "kit.html"
        done = self.desk.type("loomio-pi", "kit", "--output", str(file), *options)
        assert (done.code, done.stderr) == (0, ""), done
        text = file.read_text()
        file.unlink()
        return Paper(text)


def new_computer(folder: Path) -> Desk:
    """Another computer, with nothing on it but the program and what people know."""
    folder.mkdir()
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    (folder / "passphrase").chmod(0o600)
    return Desk(folder, {"BROWSER": f"{sys.executable} -m tests.lab.drive.browser --email {EMAIL} %s"})


def type_kit(desk: Desk, paper: str, *words: str, **more: str | None) -> Finished:
    """Type a command of the kit, and hand the lines in."""
    return desk.type("loomio-pi", "kit", *words, stdin=paper, **more)


def sentence(done: Finished) -> str:
    """What a command that failed had to say."""
    assert done.code == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("loomio-pi: ").strip()
