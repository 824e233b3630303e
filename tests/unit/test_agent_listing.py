"""`loomio-backup list`: which backups there are, and which of them somebody wants kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loomio_backup.command import cli
from loomio_backup.retention import pinning

from .agent_backups import Shelf, shelf


def listed(pi: Shelf, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert cli.main(["--config", str(pi.root / "config.yml"), "list", *options]) == 0
    return capsys.readouterr().out


def test_label_and_pin_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pi = shelf(tmp_path)
    assert listed(pi, capsys) == "There are no backups yet.\n"
    plain, labelled, both = pi.backup(), pi.backup(label="before-update"), pi.backup(label="kept")
    pinning.pin(pi.config, pi.credentials, both.name, "a reason")

    header, *rows = listed(pi, capsys).splitlines()
    assert [row.split()[0] for row in rows] == [both.name, labelled.name, plain.name]
    column = header.index("label, pin")
    assert [row[column:] for row in rows] == ["kept, pinned", "before-update", ""]
    assert all(row == row.rstrip() for row in rows)

    document = json.loads(listed(pi, capsys, "--json"))
    assert [(row["label"], row["pinned"]) for row in document] == [
        ("kept", True),
        ("before-update", False),
        (None, False),
    ]
