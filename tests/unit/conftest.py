"""Fixtures of the tests that need no lab."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from loomio_backup import clock
from loomio_backup.catalogue import Catalogue

from .agent_tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        yield Tree(tmp_path, catalogue)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute has passed since anything was written, by the agent's clock."""
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(minutes=1))
