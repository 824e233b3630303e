"""Files that an update put aside come back as they were, whatever the new version did to them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from loomio_backup import clock
from loomio_backup.restore import restore_switch
from loomio_backup.state import StateDirectory
from loomio_backup.update import file_record, originals
from loomio_backup.update.update_journal import Journal

ODD = os.fsdecode(b"not utf-8 \xff and\nline")


@pytest.fixture
def aside(tmp_path: Path) -> tuple[StateDirectory, Journal, Path]:
    """Files that are put aside, while a new version begins to work on them."""
    root = tmp_path / "storage"
    (root / "ab" / "cd").mkdir(parents=True)
    for name in ("ab/cd/abcdkey", "other", ODD):
        (root / name).write_bytes(b"content")
        (root / name).chmod(0o640)
    (root / "link").symlink_to("other")
    state = StateDirectory(tmp_path / "state")
    journal = Journal(
        id="0123abcd", state="changing", started_at=clock.now(), before={}, after={}, live="l", original="o",
        roots={"storage": root}, dress={"storage": restore_switch.attributes(root)}, linked=True,
    )  # fmt: skip
    assert originals.link_files(state, journal) == 4
    return state, journal, root


def look(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        owned = (status.st_mode, status.st_uid, status.st_gid)
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        if ".loomio-" not in str(path):
            found[str(path.relative_to(root))] = (*owned, content)
    return found


def test_owner_and_mode_come_back_and_what_was_replaced_or_removed(
    aside: tuple[StateDirectory, Journal, Path],
) -> None:
    state, journal, root = aside
    before = look(root)
    for name in ("ab/cd/abcdkey", ODD):
        (root / name).chmod(0o4600)
        if os.geteuid() == 0:
            os.chown(root / name, 1001, 1002)
    if os.geteuid() == 0:
        os.chown(root / "link", 1001, 1002, follow_symlinks=False)
    (root / "other").unlink()
    (root / "other").write_bytes(b"replaced")
    (root / "added").write_bytes(b"added")
    originals.bring_files_back(journal)
    found = file_record.put_right(state, journal)
    assert (found.put_right, found.sentence) == (3 if os.geteuid() == 0 else 2, None)
    assert look(root) == before
    assert file_record.put_right(state, journal).put_right == 0
    file_record.remove(state)
    assert file_record.put_right(state, journal).sentence is None
    assert not list(state.path.glob("update-files-*"))


def test_what_was_written_into_a_file_in_its_place_is_told(
    aside: tuple[StateDirectory, Journal, Path],
) -> None:
    state, journal, root = aside
    with (root / "other").open("r+b") as file:
        file.write(b"CONTENT")
    with (root / ODD).open("ab") as file:
        file.write(b"more")
    originals.bring_files_back(journal)
    said = file_record.put_right(state, journal).sentence
    assert said is not None
    assert "wrote into 2 files in their place" in said
    assert "storage/other" in said
