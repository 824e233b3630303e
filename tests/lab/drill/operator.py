"""The operator's desk: their settings, secrets and SSH key, and the commands that they type."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from .. import cloud, combinations
from ..docker import REPOSITORY, LabError
from ..lab import Lab

PROGRAMS = Path(sys.executable).parent
HOST = "loomio"


@dataclass(frozen=True)
class Finished:
    """What a command came to: exit code, what it printed (stderr is where pyinfra talks), seconds.

    `arrived` has the lines of stderr with the second at which each of them came.
    """

    code: int
    output: str
    seconds: float
    stdout: str = ""
    arrived: tuple[tuple[float, str], ...] = ()

    def changed(self) -> list[str]:
        """Names of the operations that a deploy run with --json changed something with."""
        operations = json.loads(self.stdout)["results"]["operations"]
        return [operation["name"] for operation in operations if operation["success"]]


@dataclass(frozen=True)
class Operator:
    """Runs the product's own commands in a folder that holds pi.yml, secrets.yml.age and the passphrase."""

    folder: Path

    @property
    def settings_file(self) -> Path:
        return self.folder / "pi.yml"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "LOOMIO_PI_SETTINGS": str(self.settings_file),
            "LOOMIO_PI_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "PYINFRA_PROGRESS": "off",
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        }

    def type(self, *command: str, log: str | None = None, echo: bool = False, **extra: str) -> Finished:
        """Type a command at the root of the checkout; `extra` are environment variables.

        With `log`, all output goes to FOLDER/log as well; with `echo`, stderr line by line to this terminal.
        """
        started = time.monotonic()
        lines: list[tuple[float, str]] = []
        with tempfile.TemporaryFile("w+") as stdout:
            process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={**self.environment, **extra},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            assert process.stderr is not None
            with process.stderr:
                for line in process.stderr:
                    lines.append((time.monotonic() - started, line))
                    if echo:
                        print(f"    │ {line}", end="", flush=True)
            code = process.wait()
            seconds = time.monotonic() - started
            stdout.seek(0)
            printed = stdout.read()
        output = "".join(line for _, line in lines) + printed
        if log:
            (self.folder / log).write_text(output)
        return Finished(code, output, seconds, printed, tuple(lines))

    def deploy(self, name: str, *arguments: str, echo: bool = False) -> Finished:
        """Type `loomio-pi deploy NAME --json`; the log of each run is kept beside the others."""
        number = len(list(self.folder.glob(f"{name}*.log"))) + 1
        command = ("loomio-pi", "deploy", name, "--json", *arguments)
        return self.type(*command, log=f"{name}-{number}.log", echo=echo)

    def forget_host_key(self, port: int) -> None:
        """What an operator does after reflashing a card: the old Pi's host key is no longer expected."""
        known = str(self.folder / "known_hosts")
        subprocess.run(["ssh-keygen", "-q", "-f", known, "-R", f"[127.0.0.1]:{port}"], check=True)


def prepare(lab: Lab, *, port: int, drive_credentials: Mapping[str, Any]) -> Operator:
    """Write settings and secrets as a person would, with `loomio-pi secrets init` and `edit`."""
    operator = Operator(lab.folder)
    (operator.folder / "known_hosts").touch()
    _write_private(operator.folder / "passphrase", secrets.token_urlsafe(24) + "\n")
    operator.settings_file.write_text(yaml.safe_dump(settings(lab, port), sort_keys=False))
    _must(operator.type("loomio-pi", "secrets", "init"))
    edits = {
        **combinations.LIVES[lab.release].needed,
        "drive": {"credentials": dict(drive_credentials)},
        "alerts": {
            "urls": [cloud.ALERTS_URL + secrets.token_hex(12)],
            "ping_url": cloud.PING_URL + secrets.token_hex(12),
        },
        "hosts": {HOST: {"sudo_password": lab.sudo_password}},
    }
    edit_secrets(operator, edits)
    return operator


def settings(lab: Lab, port: int) -> dict[str, Any]:
    """The settings file of a lab Pi: all that differs from the defaults is where things are."""
    # Debian's packages on trixie, Docker's repository on bookworm, so that both sources are rehearsed.
    source: dict[str, Any] = {"source": "debian"}
    if lab.release == "bookworm":
        source = {
            "source": "docker",
            "apt_url": lab.apt.url,
            "apt_key": str(lab.apt.key),
            "apt_key_fingerprint": lab.apt.fingerprint,
        }
    return {
        "hosts": {
            HOST: {
                "address": "127.0.0.1",
                "port": port,
                "user": "pi",
                "ssh_key": str(lab.ssh_key),
                "known_hosts": str(lab.folder / "known_hosts"),
            }
        },
        "timezone": "Etc/UTC",
        "docker": {**source, "registry_mirrors": [cloud.REGISTRY_URL]},
        "stack": {
            "repository": cloud.REPOSITORY_URL,
            "ref": cloud.STACK_TAG,
            "canonical_host": "loomio.example.org",
            "support_email": "help@example.org",
            **combinations.LIVES[lab.release].wanted["stack"],
        },
        "backup": {
            # Hourly, but never while a drill goes on: it wants to start the only backup itself.
            "schedule": f"{(datetime.now(UTC).minute + 30) % 60} * * * *",
            "drive": {"api_root": cloud.DRIVE_URL, "token_uri": f"{cloud.DRIVE_URL}token"},
        },
    }


def edit_secrets(operator: Operator, edits: Mapping[str, Any]) -> None:
    """Put what only this lab knows into the secrets file, through `loomio-pi secrets edit`."""
    wanted = operator.folder / "edits.json"
    _write_private(wanted, json.dumps(edits))
    try:
        editor = f"{sys.executable} -m tests.lab.drill.editor"
        _must(operator.type("loomio-pi", "secrets", "edit", EDITOR=editor, LAB_EDITS=str(wanted)))
    finally:
        wanted.unlink()


def _write_private(path: Path, text: str) -> None:
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)


def _must(finished: Finished) -> None:
    if finished.code != 0:
        raise LabError(f"a command of the operator failed with {finished.code}:\n{finished.output}")
