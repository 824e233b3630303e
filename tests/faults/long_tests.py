"""The tests that are marked `long`: minutes each, of what seldom changes. `make test` leaves them out."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.lab.docker import REPOSITORY


@dataclass
class LongTests:
    """By file: tests that passed, and their seconds."""

    passed: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    skipped: int = 0


def run_series(root: Path) -> LongTests:
    """Run all of them, one after the other. Raises AssertionError when one fails or there is none."""
    report = root / "report.xml"
    # The last -m counts: the one of pyproject.toml leaves out what this one asks for.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "long",
        "-p",
        "no:cacheprovider",
        f"--junit-xml={report}",
    ]
    code = subprocess.run(command, cwd=REPOSITORY).returncode
    assert code == 0, f"pytest ended with {code}"
    return counted(report.read_text())


def counted(report: str) -> LongTests:
    """What a JUnit report of pytest says; one without a test that passed is an AssertionError."""
    found = LongTests()
    for case in ElementTree.fromstring(report).iter("testcase"):
        if case.find("skipped") is not None:
            found.skipped += 1
            continue
        assert case.find("failure") is None and case.find("error") is None, case.get("name")
        file = case.get("classname", "").removeprefix("tests.").replace(".", "/")
        found.passed[file] += 1
        # A whole life is made in the first test that needs it.
        found.seconds[file] += round(float(case.get("time", "0")))
    assert found.passed, "no test is marked as long"
    return found
