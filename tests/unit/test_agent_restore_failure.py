"""Why a restore failed is what people are told, whatever else fails when it is cleared away."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomio_backup.database.psql import SqlError
from loomio_backup.docker import Helper
from loomio_backup.errors import DamagedObject
from loomio_backup.restore import restore_database

GONE = Helper("no-such-container", Path("/nowhere"))


def test_the_reason_survives_a_database_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SqlError):
        restore_database.drop_leftovers(GONE)
    with pytest.raises(DamagedObject, match="a pack is gone"):
        try:
            raise DamagedObject("a pack is gone.")
        except DamagedObject:
            assert not restore_database.dropped_after_failure(GONE)
            raise
    assert "could not be removed yet" in capsys.readouterr().out
