"""The Pi loses its power while a restore replaces what is live, in the middle of the files; a sample of the
series `reboots-restore` with the same code.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.pi_rig import PiRig
from tests.faults.reboot_series import RebootSeries

from .conftest import Drill

pytestmark = [pytest.mark.lab, pytest.mark.drill]


def test_a_restore_that_a_power_cut_interrupts_is_finished_after_the_boot(trixie: Drill) -> None:
    rig = PiRig(trixie.rehearsal.pi, random.Random(8))
    # Nobody has worked since it came back: what is live is that backup.
    rig.states[trixie.rehearsal.before.backup] = rig.look()
    rig.prepare()
    try:
        rig.work()
        rig.states["what people made of it"] = rig.look()
        series = RebootSeries(rig, "what people made of it")
        tally = series.in_phase("restore_switch.move_children", step=5)
        assert tally.settled == {"the new": 1}
    finally:
        rig.put_away()
