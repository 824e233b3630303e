"""An operator's desk for tests: settings, passphrase, secrets file, and the real commands."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from inventories.settings import ROOT
from loomio_backup.encryption import age_passphrase

PASSPHRASE = "correct horse battery staple"
SETTINGS = """\
hosts:
  loomio:
    address: 192.0.2.1
stack:
  repository: https://git.example.org/loomio-pi-stack.git
  ref: v1.2.3
  canonical_host: loomio.example.org
  support_email: help@example.org
"""
BIN = Path(sys.executable).parent


def encrypted(text: str) -> bytes:
    """A secrets file that opens quickly: how much work a passphrase takes is up to who writes the file."""
    usual = age_passphrase._WORK
    age_passphrase._WORK = 8
    try:
        return age_passphrase.encrypt(text.encode(), PASSPHRASE)
    finally:
        age_passphrase._WORK = usual


@dataclass
class Finished:
    """What a command printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


@dataclass
class Desk:
    """Where an operator works; `environment` replaces variables (None: not set)."""

    folder: Path
    environment: dict[str, str | None] = field(default_factory=dict)

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.yml.age"

    def prepare(self, encrypted: bytes | None) -> None:
        (self.folder / "pi.yml").write_text(SETTINGS)
        (self.folder / "passphrase").write_text(PASSPHRASE + "\n")
        (self.folder / "passphrase").chmod(0o600)
        if encrypted is not None:
            self.secrets.write_bytes(encrypted)

    def variables(self, **more: str | None) -> dict[str, str]:
        wanted: dict[str, str | None] = {
            **os.environ,
            "LOOMIO_PI_SETTINGS": str(self.folder / "pi.yml"),
            "LOOMIO_PI_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "PYINFRA_PROGRESS": "off",
            "NO_COLOR": "1",
            **self.environment,
            **more,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def type(self, *command: str, stdin: str | None = None, **more: str | None) -> Finished:
        """Run a command of the product without a terminal, in the root of the repository."""
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=ROOT, env=self.variables(**more), input=stdin or "",
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        return Finished(done.returncode, done.stdout, _plain(done.stderr))

    def type_on_terminal(self, *command: str, answers: dict[str, str], **more: str | None) -> Finished:
        """Run a command of the product on a terminal; see `converse`."""
        code, printed = converse(
            [str(BIN / command[0]), *command[1:]], answers, self.variables(**more), cwd=ROOT
        )
        return Finished(code, _plain(printed), "")


def converse(
    command: list[str], answers: dict[str, str], environment: dict[str, str], *, cwd: Path
) -> tuple[int, str]:
    """Run a command on a terminal of its own; returns its exit code and everything that appeared there.

    `answers` are typed in their order, each when the text that is its key has appeared.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execve(command[0], command, environment)
    try:
        printed = _converse(terminal, list(answers.items()))
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), printed.replace("\r\n", "\n")


def _converse(terminal: int, answers: list[tuple[str, str]]) -> str:
    printed, seen = "", 0
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # Linux reports the end of a terminal as an input/output error.
                return printed
            if not data:
                return printed
            printed += data.decode()
        if answers and answers[0][0] in printed[seen:]:
            seen = len(printed)
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")
    raise TimeoutError(printed)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
