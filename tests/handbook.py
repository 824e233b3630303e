"""The handbook's pages as what they are made of: prose, commands, and parts of files. docs/README.md says
what the info strings mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .lab.docker import REPOSITORY

DOCS = REPOSITORY / "docs"
INDEX = DOCS / "README.md"
#: Reports that programs write: no pages of the handbook.
REPORTS = ("reliability", "benchmarks")
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}[^\n]*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of a page (`page`: docs/backups.md): its info string's words, its text, where it begins."""

    page: str
    line: int
    words: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a block for a shell, one by one; a trailing backslash joins lines."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def pages() -> list[Path]:
    """Every page, in the order of the tables of the index, which comes first."""
    names = re.findall(r"(?m)^\| \[[^]]+\]\(([a-z-]+\.md)\) \|", INDEX.read_text())
    return [INDEX, *(DOCS / name for name in dict.fromkeys(names))]


def blocks(page: Path) -> list[Block]:
    """All blocks of a page in their order. What is indented is for a shell: on the Pi where it begins with
    sudo, else on the operator's computer.
    """
    text, name = page.read_text(), str(page.relative_to(REPOSITORY))
    return sorted([*_fenced(name, text), *_indented(name, text)], key=lambda block: block.line)


def _fenced(name: str, text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        yield Block(name, _line(text, found.start()), tuple(found["info"].split()), found["text"])


def _indented(name: str, text: str) -> Iterator[Block]:
    # Fenced blocks hold indented lines of their own: only their line ends stay.
    prose = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    for found in _INDENTED.finditer(prose):
        inside = re.sub(r"(?m)^ {4}", "", found[0])
        where = "pi" if inside.startswith("sudo ") else "computer"
        yield Block(name, _line(prose, found.start()), ("sh", where), inside)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def inline_code(text: str) -> list[str]:
    """What stands between backticks, outside of blocks; a table's escaped bars are bars."""
    prose = _FENCE.sub("", text)
    return [code.replace("\\|", "|") for code in re.findall(r"`([^`\n]+)`", prose)]


def anchors(page: Path) -> set[str]:
    """What links to headings of a page can name, as GitHub makes it of them."""
    prose = _FENCE.sub("", page.read_text())
    found = re.findall(r"(?m)^#{1,6} (.+)$", prose)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}
