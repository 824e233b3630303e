"""A printed recovery kit, read as a person with the paper reads it: what they see, and the lines to type."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "br", "hr", "input", "path", "source", "base"}


@dataclass
class Paper(HTMLParser):
    """`lines`: as they are typed, with spaces. `text`: all that can be read. `tags`: (name, attributes)."""

    html: str
    lines: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._in_line = False
        self.feed(self.html)
        assert self._open == [], "a tag is not closed"
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "tr" and "data-line" in attributes:
            self._in_line = True
            self.lines.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another tag"
        if tag == "tr":
            self._in_line = False
        if tag in ("td", "th") and self._in_line:
            self.lines[-1] = self.lines[-1].rstrip() + " "

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data
        if self._in_line:
            self.lines[-1] += data.strip()

    @property
    def typed(self) -> str:
        """What a person types, in the end."""
        return "".join(f"{line.strip()}\n" for line in self.lines)
