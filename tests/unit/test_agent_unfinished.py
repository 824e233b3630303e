"""What is half-done on a Pi stops what would meddle with it, and nothing stops it from coming to its end."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.backup import backup
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config, LocalStore, Stores
from loomio_backup.credentials import Credentials
from loomio_backup.encryption import crypto
from loomio_backup.errors import AgentError, BackupError, UpdateError
from loomio_backup.restore import keeping, restore_journal, restore_older, settle
from loomio_backup.restore.keeping import Kept
from loomio_backup.restore.restore_choice import Wish
from loomio_backup.state import StateDirectory
from loomio_backup.update import update_journal

from .agent_samples import MOMENT
from .test_agent_restore_version import journal


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A Pi whose database does not run."""
    return Config(
        host="pi",
        project="no-such-project",
        state_directory=tmp_path / "state",
        credentials_directory=tmp_path / "credentials",
        stack_directory=tmp_path / "stack",
        app_data=[],
        stores=Stores(local=LocalStore(path=tmp_path / "disk")),
        recipients=[crypto.recipient_of(crypto.generate_identity())],
        signing_public_key=crypto.generate_signing_key()[1],
        keep_replaced_days=1,
    )


@pytest.fixture
def state(config: Config) -> StateDirectory:
    return StateDirectory(config.state_directory)


def update(state: StateDirectory, step: update_journal.Step) -> None:
    """An update that was interrupted there."""
    values: dict[str, Any] = {
        "before": {},
        "after": {},
        "live": "loomio_production",
        "original": "loomio_was",
    }
    update_journal.save(state, update_journal.Journal(id="0123abcd", state=step, started_at=MOMENT, **values))


def test_an_older_backup_waits_for_the_end_of_an_update(config: Config, state: StateDirectory) -> None:
    update(state, "changing")
    with pytest.raises(UpdateError, match="nothing was restored: an update was interrupted half-way"):
        restore_older.run(config, Credentials(config.credentials_directory), "./x.sql.enc", Wish())


def restore(state: StateDirectory, step: Any) -> None:
    """A restore that was interrupted there."""
    restore_journal.save(state.restore_journal, journal(state=step))


@pytest.mark.parametrize("step", ["switching", "clearing"])
def test_no_backup_is_made_of_half_a_restore(config: Config, state: StateDirectory, step: str) -> None:
    restore(state, step)
    config.credentials_directory.mkdir()
    (config.credentials_directory / "signing_key").write_text(crypto.generate_signing_key()[0])
    with pytest.raises(BackupError, match=r"interrupted half-way.*loomio-backup settle"):
        backup.run(config, Credentials(config.credentials_directory))


def test_what_is_kept_aside_holds_up_no_update(config: Config, state: StateDirectory) -> None:
    update(state, "rehearsing")
    with Catalogue(state.catalogue) as catalogue:
        keeping.rewrite(
            catalogue, [Kept("0123abcd", MOMENT - timedelta(days=400), "x", 1, "loomio_before_x")]
        )
    # The database, out of which it would go, does not run.
    with pytest.raises(AgentError):
        settle.run(config, Credentials(config.credentials_directory))
    ended = update_journal.load(state)
    assert ended is not None
    assert ended.state == "left"
    with Catalogue(state.catalogue) as catalogue:
        assert len(keeping.kept(catalogue)) == 1


def test_a_restore_that_is_begun_again_leaves_the_same_version_stopped() -> None:
    for left in (True, False):
        wish = settle.same_wish(journal(state="clearing", leave_stopped=left, left_for_version=left))
        assert (wish.leave_stopped, wish.leave_other_version_stopped) == (left, left)


def test_settling_again_and_again_makes_nothing_younger(config: Config, state: StateDirectory) -> None:
    assert restore_journal.unsettled_since(state.restore_journal) is None
    assert update_journal.unsettled_since(state) is None
    restore(state, "switching")
    update(state, "reverting")
    for marker in (restore_journal.MARKER, update_journal.MARKER):
        os.utime(state.path / marker, (MOMENT.timestamp(), MOMENT.timestamp()))
    restore(state, "switching")
    update(state, "reverting")
    assert restore_journal.unsettled_since(state.restore_journal) == MOMENT
    assert update_journal.unsettled_since(state) == MOMENT
    restore(state, "done")
    # What is kept aside may go: nothing that anybody has to be told of.
    (state.path / restore_journal.MARKER).touch()
    assert restore_journal.unsettled_since(state.restore_journal) is None
