"""Which version runs after a restore: who is told what, and when the app stays stopped. Pure parts."""

from __future__ import annotations

from typing import Any

import pytest

from loomio_backup.catalogue.manifest import Image, Stack
from loomio_backup.restore import restore_prepare, restore_version, restore_words
from loomio_backup.restore.restore_journal import BOTH, Journal

from .agent_samples import MOMENT, manifest

OLDER = "loomio/loomio:3.4"
NEWER = "loomio/loomio:3.5"
MADE = manifest(stack=Stack(commit=None, images={"app": Image(reference=OLDER, id="sha256:1", digests=[])}))


def journal(**changes: Any) -> Journal:
    values: dict[str, Any] = {
        "id": "0123abcd",
        "state": "preparing",
        "backup": MADE.name,
        "stores": ["local"],
        "instance": "i" * 32,
        "generation": 2,
        "snapshot_at": MOMENT,
        "started_at": MOMENT,
        "live": "loomio_production",
        "new": "loomio_restore_0123abcd",
        "aside": "loomio_before_20261123_020000",
        "stack": {"commit": None, "images": {"app": OLDER}},
    }
    return Journal(**values | changes)


@pytest.mark.parametrize(
    ("ran", "parts", "leave_other", "left"),
    [
        ({"app": NEWER}, BOTH, True, True),
        ({"app": NEWER}, ("database",), True, True),
        # Files fit any version.
        ({"app": NEWER}, ("files",), True, False),
        ({"app": OLDER}, BOTH, True, False),
        # Nobody asked: on the Pi, a person has read that they differ.
        ({"app": NEWER}, BOTH, False, False),
        # A new Pi: nothing ran.
        ({}, BOTH, True, False),
    ],
)
def test_the_app_stays_stopped_for_another_version(
    ran: dict[str, str], parts: tuple[Any, ...], leave_other: bool, left: bool
) -> None:
    made = journal(ran=ran, parts=parts)
    restore_version.settle_start(made, MADE, "app", leave_other=leave_other)
    assert (made.leave_stopped, made.left_for_version) == (left, left)


def test_the_app_is_whatever_the_layout_calls_it() -> None:
    images = {"web": Image(reference=OLDER, id="sha256:1", digests=[])}
    made = journal(ran={"web": NEWER})
    restore_version.settle_start(
        made, manifest(stack=Stack(commit=None, images=images)), "web", leave_other=True
    )
    assert (made.leave_stopped, made.left_for_version) == (True, True)


def test_whoever_stops_it_anyway_is_not_overruled() -> None:
    made = journal(ran={"app": OLDER}, leave_stopped=True)
    restore_version.settle_start(made, MADE, "app", leave_other=True)
    assert (made.leave_stopped, made.left_for_version) == (True, False)


def test_the_report_knows_the_very_images() -> None:
    """A tag may have moved on by the time that the version is wanted."""
    image = Image(reference=OLDER, id="sha256:1", digests=["loomio/loomio@sha256:5"])
    made = manifest(stack=Stack(commit=None, images={"app": image}))
    assert restore_prepare.stack_of(made) == {
        "commit": None,
        "images": {"app": OLDER},
        "digests": {"app": ["loomio/loomio@sha256:5"]},
    }


def test_what_is_to_be_typed_instead_is_the_whole_command() -> None:
    [line] = restore_words.version_lines(MADE, {"app": NEWER})
    assert line.endswith(f"loomio-pi deploy restore --data backup={MADE.name} --data replace_live_data=yes")
    assert restore_words.version_lines(MADE, {"app": OLDER}) == []


def test_both_versions_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert restore_version.differing(MADE, {"app": NEWER, "db": "postgres:17"}) == [
        f"app: {OLDER}, here {NEWER}"
    ]
    left = journal(ran={"app": NEWER}, left_for_version=True)
    restore_version.say_left(left, "app")
    assert f"Loomio is not started: {OLDER} made {MADE.name}, and {NEWER} ran here" in capsys.readouterr().out

    restore_version.say_undone(left, {"app": OLDER}, "app")
    said = capsys.readouterr().out
    assert f"before that restore {NEWER} ran here, now it is {OLDER}" in said
    assert "loomio-pi deploy update" in said
    restore_version.say_undone(left, {"app": NEWER}, "app")
    restore_version.say_undone(left, {}, "app")
    assert capsys.readouterr().out == ""
