"""The bootstrap names what is missing where it may not install it, and changes nothing there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = "sh dirname mkdir id git ssh-keygen age zstd jq docker env cat date sleep tail".split()
NOBODY = 65534


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the bootstrap needs, which anybody may write, and a PATH without rclone."""
    (tmp_path / "tests/lab").mkdir(parents=True)
    shutil.copy(ROOT / "tests/lab/bootstrap.sh", tmp_path / "tests/lab")
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in PROGRAMS:
        found = shutil.which(program)
        if found:
            (programs / program).symlink_to(found)
    for path in (tmp_path, *tmp_path.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777)
    # pytest's own folders above are private to the user.
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


def test_a_missing_program_is_named_to_whom_may_not_install(checkout: Path) -> None:
    user = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    done = subprocess.run(
        ["sh", str(checkout / "tests/lab/bootstrap.sh"), "lab", "true"],
        env={"PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        **user,  # type: ignore[call-overload]
    )
    assert done.returncode == 1, done.stderr
    assert "missing: rclone" in done.stderr
    assert "apt-get install rclone" in done.stderr


def test_an_unknown_verb_says_what_there_is() -> None:
    done = subprocess.run(
        ["sh", str(ROOT / "tests/lab/bootstrap.sh"), "dance"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: bootstrap.sh venv | lab COMMAND …\n"
