"""Which older backups a store gets after it was away; when it is Drive's turn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Summary
from loomio_backup.catalogue.history import History
from loomio_backup.config import Config, DriveStore, LocalStore, Retention, Stores
from loomio_backup.encryption import crypto
from loomio_backup.monitoring.freshness import is_drives_turn
from loomio_backup.restore.aftermath import lacking

from .agent_samples import MOMENT, summary

HOURS = 24 * 8
HISTORY = [summary(number, snapshot_at=MOMENT + timedelta(hours=number)) for number in range(1, HOURS)]
NEW = summary(HOURS, snapshot_at=MOMENT + timedelta(hours=HOURS))
POLICY = Retention(hourly=3, daily=3, weekly=2, monthly=0, yearly=0)


def _missed(
    here: Sequence[Summary], there: Sequence[Summary] = HISTORY, removed: frozenset[str] = frozenset()
) -> list[int]:
    target, other = History("drive", list(here)), History("local", list(there))
    other.pins = {HISTORY[5].name}
    found = lacking(NEW, target, [other], removed, POLICY, "Etc/UTC")
    return [backup.sequence for backup in found]


def test_an_empty_store_gets_what_its_retention_would_keep_the_newest_first() -> None:
    # 192 is the new one, on Tuesday at 2: three hours, the last two days, the last Sunday; 6 is pinned.
    assert _missed([]) == [191, 190, 189, 165, 6]


def test_what_is_there_or_was_removed_does_not_come_again() -> None:
    assert _missed(HISTORY) == []
    everything = _missed([])
    assert _missed([HISTORY[190]]) == [number for number in everything if number != 191]
    assert _missed([], removed=frozenset({HISTORY[190].name})) == everything[1:]


def test_a_damaged_manifest_is_left_to_people() -> None:
    target, other = History("drive"), History("local", list(HISTORY))
    target.damaged = [(f"{HISTORY[190].name}.manifest.age", "it is damaged")]
    found = lacking(NEW, target, [other], set(), POLICY, "Etc/UTC")
    assert HISTORY[190] not in found
    assert HISTORY[189] in found


def test_nothing_of_another_loomio_is_copied() -> None:
    strange = [summary(number, instance="j" * 32) for number in (1, 2)]
    assert _missed([], strange) == []


@pytest.mark.parametrize(
    ("schedule", "newest", "turn"),
    [
        (None, MOMENT - timedelta(minutes=1), True),
        ("0 3 * * *", None, True),
        # The clock says half past five in Berlin, and Drive is due at three there.
        ("0 3 * * *", datetime.fromisoformat("2026-11-23T02:59:00+01:00"), True),
        ("0 3 * * *", datetime.fromisoformat("2026-11-23T03:00:05+01:00"), False),
        ("0 3 * * *", datetime.fromisoformat("2026-11-22T03:00:05+01:00"), True),
        # After days without power, and when the newest is of a time that has not come.
        ("0 3 * * *", datetime.fromisoformat("2026-11-11T03:00:05+01:00"), True),
        ("0 3 * * *", datetime.fromisoformat("2027-11-11T03:00:05+01:00"), True),
        ("0 3 * * MON", datetime.fromisoformat("2026-11-16T03:00:05+01:00"), True),
        ("0 3 * * TUE", datetime.fromisoformat("2026-11-17T03:00:05+01:00"), False),
    ],
)
def test_drives_turn(schedule: str | None, newest: datetime | None, turn: bool) -> None:
    config = Config(
        host="pi",
        stores=Stores(local=LocalStore(path=Path("/backups")), drive=DriveStore(schedule=schedule)),
        recipients=[crypto.recipient_of(crypto.generate_identity())],
        signing_public_key=crypto.generate_signing_key()[1],
        timezone="Europe/Berlin",
    )
    now = datetime.fromisoformat("2026-11-23T05:30:00+01:00")
    assert is_drives_turn(config, newest, now) is turn
