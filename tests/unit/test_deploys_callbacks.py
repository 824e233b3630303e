"""Python functions of deploys go through our Callback: pyinfra's shows a traceback when a Pi is gone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = Path("deploys/operations/callback.py")


def used(source: str) -> set[str]:
    """What a module takes from pyinfra that runs a function without our Callback."""
    names = {
        name.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyinfra")
        for name in node.names
    }
    return names & {"FunctionCommand", "python"}


@pytest.mark.parametrize(
    "source",
    [
        "from pyinfra.operations import files, python",
        "from pyinfra.api.command import FunctionCommand",
        "from pyinfra.api import FunctionCommand, StringCommand",
    ],
)
def test_a_bare_one_is_seen(source: str) -> None:
    assert used(source)


def test_none_is_bare() -> None:
    modules = [path.relative_to(ROOT) for path in (ROOT / "deploys").rglob("*.py")]
    assert len(modules) > 50
    assert [path for path in modules if used((ROOT / path).read_text())] == [OURS]
