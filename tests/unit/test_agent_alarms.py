"""Alarms are told when they have to be, and not more often."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.monitoring import alarms
from loomio_backup.monitoring.alarms import Condition, Tidings

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
LATE = Condition("late-local", "the newest backup is of 2026-11-23 02:00, 14 h 3 min ago, 3.2 GB.")


class Bell:
    """A catalogue and a clock; counts what is told."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.now = START
        self.messages: list[Tidings] = []

    def look(self, *conditions: Condition, minutes: float = 15, delivered: bool = True) -> Tidings:
        """One evaluation, some time after the last one."""
        self.now += timedelta(minutes=minutes)
        tidings = alarms.update(self.catalogue, conditions, self.now, DAY)
        if tidings.any and delivered:
            alarms.told(self.catalogue, tidings, self.now)
            self.messages.append(tidings)
        return tidings

    def open(self) -> list[str]:
        return [alarm.key for alarm in alarms.open_alarms(self.catalogue)]


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        yield Bell(catalogue)


def test_a_new_alarm_is_told_once_then_reminded_then_over(bell: Bell) -> None:
    assert [alarm.key for alarm in bell.look(LATE).new] == ["late-local"]
    for number in range(100):
        text = (
            f"the newest backup is of 2026-11-23 02:00, {15 + number // 4} h {number} min ago, {number}.2 MB."
        )
        bell.look(Condition("late-local", text))
    assert len(bell.messages) == 2, "25 hours: one message and one reminder"
    assert bell.messages[1].again[0].text.endswith("95.2 MB."), "with the figures of now"
    tidings = bell.look()
    assert [alarm.key for alarm in tidings.over] == ["late-local"]
    assert bell.open() == []
    assert not bell.look().any


def test_a_hundred_looks_at_many_alarms_that_come_and_go_are_no_flood(bell: Bell) -> None:
    for number in range(100):
        wrong = [
            Condition(f"key-{index}", f"problem {index}")
            for index in range(10)
            if (number // (index + 1)) % 2
        ]
        bell.look(*wrong)
    assert len(bell.messages) <= 25, len(bell.messages)


def test_an_alarm_that_comes_and_goes_at_every_look_is_told_twice_and_stays_open(bell: Bell) -> None:
    for number in range(96):
        bell.look(*([LATE] if number % 2 == 0 else []))
    assert len(bell.messages) <= 4  # told, over, told again, reminder
    assert bell.open() == ["late-local"]
    for _ in range(24):
        bell.look()
    assert bell.open() == [], "six quiet hours"
    assert bell.messages[-1].over


def test_a_sentence_that_says_something_else_is_told_again(bell: Bell) -> None:
    bell.look(Condition("run", "the last backup failed: no room on the disk of 3 GB."))
    other = Condition("run", "the last backup failed: the database does not answer.")
    assert not bell.look(other).any, "not within three hours"
    assert not bell.look(other, minutes=60).any
    assert [alarm.text for alarm in bell.look(other, minutes=120).again] == [other.text]
    assert not bell.look(other).any


def test_what_could_not_be_sent_is_tried_again(bell: Bell) -> None:
    assert bell.look(LATE, delivered=False).new
    assert bell.look(LATE, delivered=False).new
    assert bell.look(LATE).new
    assert not bell.look(LATE).any
    assert bell.look(delivered=False).over
    [alarm] = alarms.open_alarms(bell.catalogue)
    assert alarm.over_since == bell.now
    assert bell.look().over
    assert not bell.look().any


def test_nobody_is_told_the_end_of_what_nobody_was_told(bell: Bell) -> None:
    bell.look(LATE, delivered=False)
    assert not bell.look().any
    assert bell.open() == []


def test_several_alarms_are_one_message_and_reminders_come_together(bell: Bell) -> None:
    other = Condition("space-drive", "Drive will be full.")
    bell.look(LATE)
    assert len(bell.look(LATE, other, minutes=14 * 60).open) == 0
    assert len(bell.messages) == 2
    assert {alarm.key for alarm in bell.messages[1].again} == {"late-local"}
    for _ in range(96):
        bell.look(LATE, other)
    assert len(bell.messages) == 3


def test_a_clock_that_was_set_back_silences_nothing(bell: Bell) -> None:
    bell.now += timedelta(days=300)
    bell.look(LATE)
    bell.look()
    bell.now = START
    assert bell.look(LATE).new
    bell.now += timedelta(days=300)
    assert bell.look(LATE).again
    bell.now = START
    assert bell.look(LATE).again
