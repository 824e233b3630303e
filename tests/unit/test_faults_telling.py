"""Which steps of a restore the power is cut in front of."""

from __future__ import annotations

import random

from tests.faults.reboot_series import telling


def steps(*kinds: str) -> list[dict[str, str]]:
    return [{"kind": kind, "phase": "p", "detail": "x"} for kind in kinds]


def test_every_change_of_kind_is_told_once() -> None:
    found = telling(steps("rename", "database", "rename", "rename", "rename", "end"), random.Random(0))
    assert found[:2] == [1, 2]
    assert found[2] in (3, 4, 5)
    assert found[3:] == [6]


def test_what_nobody_reads_again_is_left_out() -> None:
    passed = {"kind": "delete", "phase": "p", "detail": ".restore-journal.json.part"}
    assert telling([passed, *steps("delete")], random.Random(0)) == [2]
