"""backup.py against scripted Pis: the label is looked at first, success is what systemd says it is."""

from pathlib import Path

import pytest

from .scripted import Answer, ConvergedPi, ScriptedPi, unit_lines

LABELLED = "Backup | Make the backup before-update, which is kept"
FOLLOW = r"systemctl start --no-block"
UNIT = [
    *("Id=loomio-backup@before-update.service", "LoadState=loaded", "ActiveState=inactive"),
    *("NeedDaemonReload=no", "Result=success", "InvocationID=", "Enabled=static", ""),
]


def test_with_a_label_and_without(tmp_path: Path) -> None:
    labelled = ConvergedPi(tmp_path).deploy("backup", "--dry", "--json", "--data", "label=before-update")
    assert (labelled.code, labelled.operations) == (0, [LABELLED])
    assert ConvergedPi(tmp_path).deploy("backup").operations == ["Backup | Make a backup"]


@pytest.mark.parametrize("label", ["two words", "-x", "7", "a/b", "", "é", "Before", "x" * 41, "%i", "$(id)"])
def test_what_is_no_label_is_refused_before_the_pi_is_asked_anything(tmp_path: Path, label: str) -> None:
    done = ConvergedPi(tmp_path).deploy("backup", "-y", "-vvv", "--data", f"label={label}")
    assert done.code == 1
    assert "cannot be a label. Nothing was done." in done.output
    assert "docker_packages" not in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ([(FOLLOW, ["backup x started", "It has ended: success"])], 0, ["backup x started"]),
        (
            [(FOLLOW, ["loomio-backup: the disk is full", "It has ended: exit-code"])],
            1,
            ["the disk is full", "A backup failed (exit-code)", "journalctl -u loomio-backup@before-update"],
        ),
        (
            [(FOLLOW, ["backup x started"])],
            1,
            ["The connection to the Pi was lost", "goes on there by itself"],
        ),
    ],
    ids=["success", "failure", "lost"],
)
def test_ends_as_the_unit_ends(tmp_path: Path, answers: list[Answer], code: int, words: list[str]) -> None:
    more: list[Answer] = [(r"for unit in loomio-backup@before-update", UNIT)]
    done = ConvergedPi(tmp_path, answers=[*answers, *more]).deploy(
        "backup", "-y", "--data", "label=before-update"
    )
    assert done.code == code, done.output
    for word in words:
        assert word in done.output


def test_a_pi_that_is_not_set_up_is_told_so(tmp_path: Path) -> None:
    unknown = [line.replace("loaded", "not-found") for line in UNIT]
    pi = ScriptedPi(tmp_path, answers=[(r"for unit in loomio-backup@before-update", unknown)])
    done = pi.deploy("backup", "-y", "--data", "label=before-update")
    assert done.code == 1
    assert "Run first: loomio-pi deploy setup" in done.output


def test_not_during_a_restore(tmp_path: Path) -> None:
    answers: list[Answer] = [(r"systemctl show --property=Id", unit_lines(restore="activating"))]
    done = ConvergedPi(tmp_path, answers=answers).deploy("backup", "-y")
    assert done.code == 1
    assert "a restore is running on this Pi" in done.output
