"""What all verbs of `loomio-pi` have in common: help that fits 80 columns, errors on stderr, exit codes."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import pytest

from deploys.console import main as console
from inventories.settings import ROOT

PAGE = (ROOT / "docs" / "exit-codes.md").read_text()
#: Verbs below a verb.
BELOW = {
    "secrets": ("init", "edit", "show", "rekey", "rotate-key", "add-host", "remember", "forget"),
    "kit": ("check", "recover", "status"),
}
EVERY = [*((verb,) for verb in console.VERBS), *((verb, sub) for verb, subs in BELOW.items() for sub in subs)]
#: What cannot do without an argument.
NEEDED = {
    "deploy": ["setup"],
    "export": ["out"],
    "import-env": ["absent"],
    "import-folder": ["absent"],
    "secrets": ["edit"],
}


def run(*arguments: str) -> int:
    """A verb in this process: its exit code, also where the parser ends it."""
    try:
        return console.main(arguments)
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LOOMIO_PI_SETTINGS", str(tmp_path / "pi.yml"))
    monkeypatch.delenv("LOOMIO_PI_HOST", raising=False)


def test_the_list_of_verbs_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert [name for name in console.VERBS if f"\n  {name} " not in out] == []


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_help_fits_80_columns_and_says_something(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*verb, "--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith(f"usage: loomio-pi {' '.join(verb)}")


@pytest.mark.parametrize("verb", [verb for verb in console.VERBS if verb != "deploy"])
def test_wrong_usage_is_2_and_on_stderr(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--no-such-option") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: loomio-pi" in err


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("deploy",), ("--host",)])
def test_no_verb_is_2_and_on_stderr(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: loomio-pi" in err


def test_a_misspelt_verb_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("docter") == 2
    assert "there is no verb 'docter'. Did you mean doctor?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", [verb for verb in console.VERBS if verb not in ("schema", "doctor", "deploy", "drift")]
)
def test_failure_is_1_and_one_sentence_on_stderr(
    verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.chdir(tmp_path), Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert run(verb, *NEEDED.get(verb, [])) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"loomio-pi: \S.*[.?)a-z]\n", err), err
    assert list(tmp_path.iterdir()) == []


def test_doctor_tells_its_findings_and_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "PROBLEM  The settings file" in out
    assert "loomio-pi init" in out


def test_the_page_has_every_verb() -> None:
    for verb in console.VERBS:
        assert f"| `{verb}` |" in PAGE, verb
