"""deploys/restore.py, hermetic: what is asked of the agent, and what is refused before anything happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from .scripted import ScriptedPi


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "the newest backup"),
        (["backup=loomio_backup_20261122_140000"], "loomio_backup_20261122_140000"),
        (["before=2026-11-22T14:30", "only=files"], "the files of the newest backup of before"),
        (["only=database", "streaming=yes"], "the database of the newest backup"),
    ],
)
def test_what_is_asked_for_is_said(tmp_path: Path, data: list[str], words: str) -> None:
    options = [word for one in data for word in ("--data", one)]
    done = ScriptedPi(tmp_path).deploy("restore", "--dry", "--json", *options)
    assert done.code == 0, done.output
    assert done.planned[0].startswith(f"Restore | Restore {words}")
    assert done.planned[1:] == ["Restore | Look whether Loomio answers", "Recovery | Read the agent's report"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (["backup=../../etc"], "is no backup's name"),
        (["backup=loomio_backup_20261122_140000;reboot"], "is no backup's name"),
        (["before=yesterday"], "is no time"),
        (["only=everything"], "Say database or files"),
        (["streaming=maybe"], "is not understood"),
        (["replace_live_data=sure"], "is not understood"),
        (["backup=loomio_backup_20261122_140000", "before=2026-11-22"], "cannot both be given"),
    ],
)
def test_what_is_not_understood_is_refused_before_the_pi_is_asked(
    tmp_path: Path, data: list[str], word: str
) -> None:
    options = [text for one in data for text in ("--data", one)]
    done = ScriptedPi(tmp_path).deploy("restore", "--dry", *options)
    assert done.code != 0
    assert word in done.output.replace("\n", " ")
