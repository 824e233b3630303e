"""The handbook and the README: links lead somewhere, commands and settings are those of the program, and the
older guide's commands all have their counterpart.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploys.console import deploy
from deploys.console import main as console
from inventories.new_secrets import new_text
from inventories.secrets import checked
from inventories.settings import ROOT, Settings
from inventories.validation import validated
from loomio_backup.command import cli_parser, cli_verbs
from tests import handbook
from tests.handbook import Block
from tests.lab.drill.editor import merge
from tests.unit.operator_desk import SETTINGS

README = ROOT / "README.md"
PAGES = [README, *handbook.pages()]
BLOCKS = [block for page in PAGES for block in handbook.blocks(page)]
INFO_STRINGS = {
    *(("sh", "pi"), ("sh", "computer"), ("text",), ("yaml",)),
    *(("yaml", "settings"), ("yaml", "settings", "apply"), ("yaml", "secrets"), ("yaml", "secrets", "apply")),
}
VERBS = [*cli_verbs.VERBS, *console.VERBS]


def test_every_page_is_in_the_index() -> None:
    reports = tuple(handbook.REPORTS)
    names = {path.name for path in handbook.DOCS.glob("*.md") if not path.stem.startswith(reports)}
    assert {page.name for page in handbook.pages()} == names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in handbook.anchors(file), f"{page.name}: {target}"


def test_info_strings_say_what_becomes_of_a_block() -> None:
    known = [block for block in BLOCKS if block.page != README.name]
    assert [block.place for block in known if block.words not in INFO_STRINGS] == []


def test_where_a_command_is_typed_is_seen() -> None:
    for block in BLOCKS:
        if block.words[:1] == ("sh",):
            for command in block.commands:
                on_the_pi = command.startswith(("sudo ", "cd /"))
                assert on_the_pi == (block.words[1] == "pi"), f"{block.place}: {command}"


def test_what_the_page_on_the_code_names_is_there() -> None:
    folders = "deploys|docs|files|inventories|requirements|templates|tests"
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", (handbook.DOCS / "code.md").read_text())
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []
    packages = {path.parent.name for path in (ROOT / "files" / "loomio_backup").glob("*/__init__.py")}
    table = re.findall(r"(?m)^\| `(\w+)` \|", (handbook.DOCS / "code.md").read_text())
    assert set(table) == packages


# Settings and secrets


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.words[:1] == ("yaml",)], ids=lambda block: block.place
)
def test_yaml_is_valid(block: Block) -> None:
    given = yaml.safe_load(block.text)
    if block.words[1:2] == ("secrets",):
        text = yaml.safe_load(new_text(["loomio"]))
        merge(text, given)
        checked(yaml.safe_dump(text), block.place)
        return
    if block.page == "docs/google-drive.md":
        given = yaml.safe_load(block.text.replace("…", "x"))
    text = yaml.safe_load(SETTINGS)
    merge(text, given)
    settings = validated(Settings, yaml.safe_dump(text), block.place)
    assert settings != validated(Settings, SETTINGS, "x") or block.page == "docs/google-drive.md"


def test_settings_named_in_the_text_exist() -> None:
    from inventories.secrets import Secrets
    from inventories.validation import known_keys

    known = {*known_keys(Settings), *known_keys(Secrets)}
    known |= {key.rpartition(".")[0] for key in known}
    groups = r"backup|monitoring|encryption|pull|stack|system|docker|drive|alerts|hosts"
    # Names in a manifest look like those of settings.
    for page in (page for page in PAGES if page.name != "format.md"):
        for code in handbook.inline_code(page.read_text()):
            found = re.fullmatch(rf"((?:{groups})\.[a-z_.]+)(:.*)?", code)
            if found and not code.endswith((".md", ".yml", ".py", "drive.file", "drive.json")):
                assert found[1] in known, f"{page.name}: {code}"


# Commands


def _commands() -> Iterator[tuple[str, str]]:
    """Every command line of ours, in blocks and in the text: (place, command)."""
    for block in BLOCKS:
        if block.words[:1] == ("sh",):
            for command in block.commands:
                yield block.place, command
    for page in PAGES:
        for code in handbook.inline_code(page.read_text()):
            yield page.name, code


def _ours(command: str) -> list[str] | None:
    """The words of a command line of ours from the program's name on; None for other programs' commands."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return None
    words = [Path(word).name if word.startswith(".venv/bin/") else word for word in words]
    if words[:1] == ["sudo"]:
        words = words[1:]
    if words and words[0] in ("loomio-backup", "loomio-pi", "pyinfra") and len(words) > 1:
        return words
    return None


LINES = sorted({(place, command) for place, command in _commands() if _ours(command) is not None})


@pytest.mark.parametrize(("place", "command"), LINES, ids=lambda text: str(text)[:80])
def test_our_commands_are_understood(place: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = _ours(command)
    assert words is not None
    if words[:2] == ["loomio-pi", "--host"]:
        words = [words[0], *words[3:]]
    match words:
        case ["loomio-backup", *rest]:
            _parse_agents(rest)
        case ["pyinfra", inventory, path, *_]:
            assert (ROOT / inventory).exists()
            assert (ROOT / path).exists()
        case ["loomio-pi", "deploy", name, *_]:
            assert name in (*deploy.names(), "NAME")
        case ["loomio-pi", verb, *rest]:
            _parse_operators(verb, rest, capsys)


def _parse_agents(rest: list[str]) -> None:
    try:
        cli_parser.parser().parse_args(rest)
    except SystemExit as ended:
        assert ended.code == 0  # --help


def _parse_operators(verb: str, rest: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Have the verb's own parser read the words, and stop it there."""

    class ParsedError(Exception):
        pass

    def stop(self: argparse.ArgumentParser, *arguments: object, **more: object) -> object:
        parse(self, *arguments, **more)
        raise ParsedError

    parse = argparse.ArgumentParser.parse_args
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(ParsedError):
            console.VERBS[verb][0](rest)


@pytest.mark.parametrize("verb", sorted(set(VERBS)))
def test_every_verb_is_explained(verb: str) -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert re.search(rf"(loomio-backup|loomio-pi) {verb}\b", text), verb


# The older guide


def _guide_commands() -> list[tuple[str, str]]:
    lines = (ROOT / "tests" / "data" / "guide_commands.txt").read_text().splitlines()
    return [tuple(line.split("\t")) for line in lines if not line.startswith("#")]  # type: ignore[misc]


TABLE = handbook.DOCS / "guide-table.md"


def _rows() -> list[tuple[str, str]]:
    """(what the guide has, what is here) for each row of the page's tables."""
    found = re.findall(r"(?m)^\| (.*?) (?<!\\)\| (.*) \|$", TABLE.read_text())
    return [(left, right) for left, right in found if not left.startswith(("---", "the guide", "in the old"))]


def test_every_command_of_the_guide_has_a_row() -> None:
    left = {code for row, _ in _rows() for code in handbook.inline_code(row)}
    missing = [f"{where}: {command}" for where, command in _guide_commands() if command not in left]
    assert missing == []
    assert len(_guide_commands()) > 65


#: On fresh machines: tests/lab/test_console_init.py, tests/e2e/test_recovery.py.
RUN_ELSEWHERE = ("loomio-pi init", "loomio-pi deploy disaster_recovery")


def test_what_takes_its_place_is_run_in_the_lab() -> None:
    """Commands on the right side stand in blocks, which tests/e2e/test_handbook.py runs."""
    typed = [block for block in BLOCKS if block.words[:1] == ("sh",) and block.page != README.name]
    run = {command for block in typed for command in block.commands}
    for _, right in _rows():
        for code in handbook.inline_code(right):
            if _ours(code) is not None or code.startswith("sudo "):
                assert code in run or code.startswith(RUN_ELSEWHERE), code
