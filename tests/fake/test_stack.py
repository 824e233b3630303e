"""The stack's parts against scripted Pis: what setup plans for them, in which order, and that it leaves them
alone afterwards.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.combinations import COMBINATIONS
from tests.unit.test_deploys_stack import key

from .scripted import ConvergedPi, ScriptedPi

OVER_SSH = {"repository": "git@github.com:you/stack.git"}


def test_keys_and_tokens_come_before_what_needs_them(tmp_path: Path) -> None:
    everything = COMBINATIONS["everything"]
    stack = {**everything.wanted["stack"], **OVER_SSH}
    secrets = {"stack": {**everything.needed["stack"], "deploy_key": key()}}
    done = ScriptedPi(tmp_path, settings={"stack": stack}, secrets=secrets).deploy("setup")
    assert done.code == 0, done.output
    order = [
        "Stack | Create /etc/loomio-pi-stack",
        "Stack | Write the keys of the git server",
        "Stack | Write the deploy key",
        "Stack | Write the tunnel's token",
        "Monitoring | Write /etc/netdata/loomio_backup.path",
        "Stack | Clone the stack's repository at v1.2.3",
        "Stack | Start every service",
        "Stack | Enable loomio-hourly-tasks.timer",
    ]
    assert [name for name in done.planned if name in order] == order
    assert secrets["stack"]["tunnel_token"] not in done.output


@pytest.mark.parametrize("name", ["everything", "nothing"])
def test_a_second_setup_leaves_a_combination_alone(tmp_path: Path, name: str) -> None:
    combination = COMBINATIONS[name]
    pi = ConvergedPi(tmp_path, settings=combination.wanted, secrets=combination.needed)
    done = pi.deploy("setup")
    assert done.code == 0, done.output
    assert done.planned == []


def test_what_was_turned_off_is_removed(tmp_path: Path) -> None:
    unit = "loomio-hourly-tasks.timer"
    lines = [
        f"Id={unit}",
        "LoadState=loaded",
        "ActiveState=active",
        "NeedDaemonReload=no",
        "Enabled=enabled",
        "",
    ]
    done = ConvergedPi(tmp_path, answers=[(rf"for unit in \S+ {unit}", lines)]).deploy("setup")
    assert done.planned == ["Stack | Remove Loomio's hourly chores"]


def test_a_recovery_sees_to_the_chores_once_the_version_is_known(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path).deploy("disaster_recovery")
    assert done.code == 0, done.output
    chores = done.operations.index("Stack | See to Loomio's hourly chores")
    assert chores > done.operations.index("Recovery | Keep to the version that made the backup")
