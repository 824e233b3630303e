"""docs/google-drive.md: its settings are settings, its commands exist, and its messages are ours."""

import re

import pytest
import yaml

from deploys.console import main as console
from inventories.secrets import Secrets
from inventories.settings import ROOT, Settings
from inventories.validation import known_keys, validated
from tests.unit.operator_desk import SETTINGS

PAGE = (ROOT / "docs" / "google-drive.md").read_text()


def test_its_settings_are_accepted() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        drive = validated(Settings, SETTINGS + block, "x").backup.drive
        assert drive is not None
        for key, value in yaml.safe_load(block)["backup"]["drive"].items():
            assert getattr(drive, key) == value
    known = [*known_keys(Settings), *known_keys(Secrets)]
    named = re.findall(r"`((?:drive|encryption|backup)\.[a-z_.]+):?`", PAGE)
    assert {name for name in named if name not in known} == {"drive.file"}  # a permission at Google


@pytest.mark.parametrize("line", re.findall(r"^    (loomio-pi .*)$", PAGE, re.MULTILINE))
def test_its_commands_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.partition("#")[0].split()[1:]
    run, _ = console.VERBS[words[0]]
    if words[0] == "deploy":
        assert (ROOT / "deploys" / f"{words[1]}.py").exists()
        return
    with pytest.raises(SystemExit) as ended:
        run(["--help"])
    assert ended.value.code == 0
    help_text = capsys.readouterr().out
    for word in words[1:]:
        if word.startswith("--") or words[0] == "secrets":
            assert word in help_text


def test_what_it_says_about_pull_is_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        console.VERBS["pull"][0](["--help"])
    help_text = capsys.readouterr().out
    for option in ("--from", "--read-data", "--prune"):
        assert f"`{option}" in PAGE
        assert option in help_text


def test_its_messages_are_those_of_the_program() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "files" / "loomio_backup" / "stores").glob("*.py"))
    sources = re.sub(r'"\n\s+f?"', "", sources)
    table = PAGE.split("| message |")[1]
    for message in re.findall(r"^\| `?([^|`]+?)`? \|", table, re.MULTILINE)[1:]:
        if message != "invalid_grant":  # Google's own
            assert message in sources, message
