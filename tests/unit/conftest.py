"""Fixtures of the tests that need no lab."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Catalogue
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_tree import Tree
from .kit_bench import Old, new_computer
from .operator_desk import Desk
from .stores_bench import DriveBench


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        yield Tree(tmp_path, catalogue)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute has passed since anything was written, by the agent's clock."""
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(minutes=1))


@pytest.fixture(scope="module")
def kit_drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path_factory.mktemp("drive")) as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def old(tmp_path: Path, kit_drive: DriveBench) -> Old:
    """The computer that a recovery kit is printed on."""
    return Old(tmp_path / "old", kit_drive)


@pytest.fixture
def new(tmp_path: Path) -> Desk:
    """The computer that a recovery kit is typed on."""
    return new_computer(tmp_path / "new")
