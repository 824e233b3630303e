"""Two drills serve all end-to-end tests: trixie; bookworm with a sudo password, every program traced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inventories.secrets import load_secrets
from tests.lab.data import Spec
from tests.lab.drill.life import Rehearsal, rehearse
from tests.lab.drill.operator import Operator
from tests.lab.drill.report import Report
from tests.lab.exec_trace import ExecTrace
from tests.lab.lab import Lab
from tests.lab.pi import Pi, Release

from . import leaks

SMALL = Spec(seed=7, db_mb=12, files_mb=12)


@dataclass
class Drill:
    """A finished drill, and what was seen on its first Pi before that died."""

    rehearsal: Rehearsal
    seen: dict[str, list[str]] = field(default_factory=dict)
    trace: ExecTrace | None = None


def secret_values(operator: Operator) -> dict[str, str]:
    """Every secret of the operator's file, by its key path: the sentinels that must appear nowhere."""
    passphrase = (operator.folder / "passphrase").read_text().strip()
    secrets = load_secrets(operator.folder / "secrets.yml.age", passphrase)
    found = {"passphrase": passphrase}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(f"{prefix}[{number}]", inner)
        elif hasattr(value, "get_secret_value"):
            walk(prefix, value.get_secret_value())
        elif isinstance(value, str) and len(value) >= 12 and not prefix.endswith(PUBLIC):
            found[prefix] = value

    walk("", secrets.model_dump())
    return found


#: What stands in the secrets file although it is no secret.
PUBLIC = ("vapid_public_key", "client_id", ".type", "token_uri", "auth_uri")


def live(folder: Path, release: Release, *, sudo_password: bool, trace: ExecTrace | None) -> Iterator[Drill]:
    report = Report(release, sudo_password, SMALL.seed, SMALL.db_mb, SMALL.files_mb)
    seen: dict[str, list[str]] = {}
    with Lab(folder, release, sudo_password=sudo_password) as lab:

        def look(pi: Pi) -> None:
            heads = r'for f in *; do printf "%s\t" "$f"; head -c 21 "$f" | head -n 1; echo; done'
            listing = pi.run("sh", "-c", f"cd /var/backups/loomio && {heads}")
            seen["local store"] = [line for line in listing.splitlines() if line]
            sentinels = secret_values(Operator(folder))
            seen["leaks in the first Pi's journal"] = leaks.in_journal(sentinels, pi)
            seen["leaks in the first Pi's files"] = leaks.in_readable_files(sentinels, pi)

        if trace:
            with trace:
                rehearsal = rehearse(lab, SMALL, report, before_death=look)
        else:
            rehearsal = rehearse(lab, SMALL, report, before_death=look)
        yield Drill(rehearsal, seen, trace)


@pytest.fixture(scope="session")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    yield from live(tmp_path_factory.mktemp("trixie"), "trixie", sudo_password=False, trace=None)


@pytest.fixture(scope="session")
def bookworm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    trace = ExecTrace() if os.geteuid() == 0 else None
    yield from live(tmp_path_factory.mktemp("bookworm"), "bookworm", sudo_password=True, trace=trace)
