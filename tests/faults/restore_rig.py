"""A Pi on which people work, and a backup of an earlier time: restores onto it are killed, and looked at."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.agent_site import DATABASE, Site, clean_environment, site
from tests.lab.docker import docker

State = tuple[list[str], list[tuple[object, ...]]]
"""Everything that is live: the database as SQL, the files with their attributes."""


@dataclass
class Death:
    """Whether it was killed, in which phase, and the durable steps until then."""

    killed: bool
    phase: str
    steps: list[dict[str, Any]]


@dataclass
class RestoreRig:
    """`backup` holds `old`; `live` is what people made of it since."""

    root: Path
    pi: Site
    random: random.Random
    backup: str = ""
    old: State = field(default_factory=lambda: ([], []))
    live: State = field(default_factory=lambda: ([], []))
    app: str = ""

    def state(self) -> State:
        """Everything that is live now."""
        return self.pi.database_text(), self.pi.files_text()

    def start_app(self) -> None:
        """Something that Compose would have started, as the app's container."""
        self.app = docker(
            *("run", "-d", f"--label=com.docker.compose.project={self.pi.project}"),
            *("--label=com.docker.compose.service=app", "--stop-signal=KILL", "--entrypoint=sleep"),
            *("debian:trixie", "3000"),
        )

    def app_runs(self) -> bool:
        """Whether that container is still there."""
        return self.app in docker("ps", "-q", "--no-trunc").split()

    def journal(self) -> dict[str, Any]:
        """How far the last restore came; empty before the first."""
        path = self.pi.root / "state" / "restore-journal.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def unsettled(self) -> bool:
        """Whether the marker is there that starts the settling unit on a Pi."""
        return (self.pi.root / "state" / "restore-unsettled").exists()

    def killed(self, arguments: tuple[str, ...], **plan: Any) -> Death:
        """Run a verb that is killed by the plan."""
        log, file = self.root / "steps.jsonl", self.root / "plan.json"
        log.unlink(missing_ok=True)
        file.write_text(json.dumps({**plan, "log": str(log)}))
        command = [sys.executable, "-m", "tests.faults.killer", str(file), *self.pi.agent(*arguments)[3:]]
        done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        killed = done.returncode == -signal.SIGKILL
        assert killed or done.returncode == 0, done.stdout + done.stderr
        phase = lines[-1]["killed"] if killed and lines and "killed" in lines[-1] else "start and end"
        return Death(killed, phase, [line for line in lines if "step" in line])

    def databases(self) -> dict[str, list[str]]:
        """Every database of ours that is there, live or beside, as SQL."""
        names = self.pi.sql("SELECT datname FROM pg_database WHERE datname LIKE 'loomio%'", "postgres")
        return {name: self._text(name) for name in names.split()}

    def labels(self) -> list[tuple[str, str | None]]:
        """The backups, newest first, and their labels."""
        return [(one["name"], one["label"]) for one in json.loads(self.pi.must("list", "--json"))]

    def _text(self, name: str) -> list[str]:
        # The switch refuses connections for a moment, and a death may come then: it stays as it is.
        allowed = self.pi.sql(f"SELECT datallowconn FROM pg_database WHERE datname = '{name}'", "postgres")
        self.pi.sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true', "postgres")
        text = docker("exec", self.pi.container, "pg_dump", "-U", "loomio", name).splitlines()
        if allowed == "f":
            self.pi.sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false', "postgres")
        return [line for line in text if not line.startswith(("\\restrict", "\\unrestrict"))]

    def kept_files(self) -> set[tuple[str, bytes]]:
        """Path and content of every file that is live, or kept from before the switch."""
        found = set()
        for root in (self.pi.storage, self.pi.uploads):
            for place in (root, *root.glob(".loomio-before-*"), *root.glob(".loomio-arriving-*")):
                for path in place.rglob("*"):
                    relative = path.relative_to(place)
                    if path.is_file() and not path.is_symlink() and not str(relative).startswith(".loomio-"):
                        found.add((f"{root.name}/{relative}", path.read_bytes()))
        return found

    def live_files(self) -> set[tuple[str, bytes]]:
        """The files of what people made, as `kept_files` gives them."""
        return {(str(name), content) for name, *_, content in self.live[1] if isinstance(content, bytes)}


@contextmanager
def restore_rig(root: Path, seed: int) -> Iterator[RestoreRig]:
    """A rig with one backup, and work since."""
    with site(root / "pi", f"faults-restore-{seed}", local=root / "disk") as pi:
        pi.fill()
        pi.must("run", "--pin")
        made = RestoreRig(root, pi, random.Random(seed))
        made.backup = json.loads(pi.must("list", "--json"))[0]["name"]
        made.old = made.state()
        pi.sql("DELETE FROM users WHERE id % 3 = 0; CREATE TABLE later AS SELECT 1 AS id")
        (pi.uploads / "later").write_bytes(made.random.randbytes(10_000))
        (pi.uploads / "deep" / "er 🎉" / "with space\nand line").unlink()
        (pi.storage / "ab" / "cd" / "abcdefgh").write_bytes(b"changed since")
        made.live = made.state()
        assert made.databases().keys() == {DATABASE}
        try:
            yield made
        finally:
            if made.app_runs():
                docker("rm", "-f", made.app)
