"""What a later setup does with the version that a recovery kept in place of the settings' one."""

from __future__ import annotations

from pathlib import Path

from deploys.facts.version import Kept, Named
from deploys.steps import version

from .scripted import Answer, ConvergedPi

THEN = Named("v1.2.3", "loomio/loomio:3.6", "redis:8")
RUNS = Named("v1.2.3", "loomio/loomio:3.5", "redis:8")
KEPT = Kept("loomio_backup_20261123_020000", RUNS, THEN)
RECORD: Answer = (r"cat \S*kept-version\.json", version.record(KEPT).splitlines())
LET_GO = "Let go of the version that the recovery kept"


def pi(folder: Path, loomio: str, *answers: Answer) -> ConvergedPi:
    return ConvergedPi(folder, settings={"stack": {"images": {"loomio": loomio}}}, answers=[RECORD, *answers])


def test_a_plain_setup_updates_nothing_and_says_what_runs(tmp_path: Path) -> None:
    done = pi(tmp_path, "loomio/loomio:3.6").deploy("setup", "--dry")
    assert done.code == 0, done.output
    assert "The settings name loomio/loomio:3.6 (stack.images.loomio)" in done.output
    assert "was made by loomio/loomio:3.5, and that is what runs" in done.output
    assert "update with: loomio-pi deploy update" in done.output
    assert LET_GO not in done.output


def test_settings_that_name_another_version_than_they_did_then_count_again(tmp_path: Path) -> None:
    gone: Answer = (r"stat -c .*kept-version\.json", _present())
    done = pi(tmp_path, "loomio/loomio:3.5", gone).deploy("setup")
    assert done.code == 0, done.output
    assert done.planned[0] == LET_GO


def _present() -> str:
    path = "/var/lib/loomio-pi-stack/kept-version.json"
    return f"user=root group=root mode=-rw-r--r-- atime=1 mtime=1 ctime=1 size=9 '{path}'"
