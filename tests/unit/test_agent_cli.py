"""The command line: verbs, exit codes, and one sentence instead of a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from loomio_backup.command.cli import main
from loomio_backup.command.cli_parser import parser
from loomio_backup.command.cli_verbs import VERBS
from loomio_backup.version import VERSION

ROOT = Path(__file__).resolve().parents[2]


def test_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"loomio-backup {VERSION}\n"
    assert project["version"] == VERSION


def test_what_can_be_typed_can_be_done() -> None:
    _, _, listed = parser().format_help().partition("\n  VERB\n")
    assert re.findall(r"^    (\S+)", listed, re.MULTILINE) == list(VERBS)


@pytest.mark.parametrize(
    "verb", ["run", "list", "show x", "check --store drive", "export x", "restore --newest", "rotate-key"]
)
def test_a_missing_configuration_is_one_sentence(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "config.yml"
    assert main(["--config", str(missing), *verb.split()]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"loomio-backup: cannot read the configuration {missing}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", ["", "fly", "show", "check --store moon", "export", "restore --backup a --newest"]
)
def test_wrong_usage_is_exit_code_2(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments.split())
    assert raised.value.code == 2
    assert "usage: loomio-backup" in capsys.readouterr().err


def test_a_plain_checkout_is_enough_to_decrypt(tmp_path: Path) -> None:
    """Nothing is installed, nothing configured: the folder `files` on the path will do."""
    command = [sys.executable, "-m", "loomio_backup", "decrypt", "--help"]
    done = subprocess.run(
        command, cwd=ROOT / "files", capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    assert "--key-file" in done.stdout


def test_verbs_do_not_load_googles_library() -> None:
    """It costs 40 MB and a second or two on a Pi; decrypt, and a run without Drive, must not pay for it."""
    script = (
        "import sys; from loomio_backup.command import cli, listing, export, show; "
        "from loomio_backup.backup import backup; from loomio_backup.restore import restore; "
        "from loomio_backup.catalogue import check; from loomio_backup.encryption import rotate; "
        "sys.exit(any(name.startswith('googleapiclient') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
