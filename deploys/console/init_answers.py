"""Where `loomio-pi init` gets its answers from: a person on a terminal, or a file with the same questions by
name.
"""

import difflib
import getpass
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inventories.settings import display
from inventories.validation import SettingsError, parsed

MORE = "settings"
"""In a file of answers: more settings, as pi.yml has them, which nobody is asked for."""


@dataclass(frozen=True)
class Question:
    """`name`: its name in a file of answers. `check` returns what the answer means, or raises `ValueError`
    with words that follow the answer.
    """

    name: str
    text: str
    check: Callable[[str], Any]
    secret: bool = False


class Answers(Protocol):
    """Who answers."""

    def ask(self, question: Question, default: str | None = None) -> Any:
        """The answer, checked; the checked default where there is none. Raises `SettingsError`."""

    def go_on(self, problem: str) -> bool:
        """After a test that failed: whether to go on all the same (False: ask again). Raises `SettingsError`
        to stop.
        """


class Person:
    """Somebody on a terminal."""

    def ask(self, question: Question, default: str | None = None) -> Any:
        """See Answers.ask."""
        shown = f" [{default}]" if default and not question.secret else ""
        prompt = f"{question.text}{shown}: "
        while True:
            try:
                typed = getpass.getpass(prompt) if question.secret else input(prompt).strip()
            except EOFError:
                raise SettingsError("The questions were broken off. Nothing was written.") from None
            if not typed and default is None:
                print("  An answer is needed here.")
                continue
            try:
                return question.check(typed or default or "")
            except ValueError as error:
                print(f"  That {error}. Try again.")

    def go_on(self, problem: str) -> bool:
        """See Answers.go_on."""
        print(f"  {problem}")
        answer = input("  Answer again, go on without, or stop? [a/g/s] ").strip().lower()
        if answer.startswith("s"):
            raise SettingsError("Stopped. Nothing was written.")
        return answer.startswith("g")


class File:
    """A file of answers. `untested`: what fails a test is written all the same."""

    def __init__(self, path: Path, known: Mapping[str, Question], *, untested: bool) -> None:
        self._shown, self._untested = display(path), untested
        try:
            with path.open(encoding="utf-8") as file:
                mode = path.stat().st_mode
                text = file.read()
        except OSError as error:
            raise SettingsError(
                f"The answers {self._shown} cannot be read: {error.strerror}. Nothing was written."
            ) from None
        except UnicodeDecodeError:
            raise SettingsError(
                f"The answers {self._shown} are not UTF-8 text. Nothing was written."
            ) from None
        document = parsed(text, self._shown, as_written=[()], secret=True)
        if not isinstance(document.data, dict):
            raise SettingsError(
                f"{self._shown}: names and answers are expected, such as `address: 192.0.2.7`."
            )
        self._document, self._given = document, document.data
        for name, value in self._given.items():
            place = f"{document.place((name,))}: {name}"
            if name != MORE and name not in known:
                close = difflib.get_close_matches(name, [*known, MORE], n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are: {', '.join([*known, MORE])}."
                raise SettingsError(f"{place} is no question that is asked here; {hint}")
            if isinstance(value, str) == (name == MORE):
                expected = "a group of settings, as pi.yml has them" if name == MORE else "one line of text"
                raise SettingsError(f"{place} is not {expected}. Nothing was written.")
            if name in known and known[name].secret and value and mode & 0o077:
                raise SettingsError(
                    f"{place} is secret, and {self._shown} can be read by other users of this machine. "
                    f"Nothing was written. Type: chmod 600 {path}"
                )

    @property
    def more(self) -> dict[str, Any]:
        """Settings that nobody is asked for."""
        return dict(self._given.get(MORE) or {})

    def ask(self, question: Question, default: str | None = None) -> Any:
        """See Answers.ask."""
        given = self._given.get(question.name) or default
        if given is None:
            raise SettingsError(
                f"{self._shown} has no answer to {question.name}: {question.text}. Nothing was written."
            )
        try:
            return question.check(given)
        except ValueError as error:
            shown = "the answer" if question.secret else repr(given)
            raise SettingsError(
                f"{self._document.place((question.name,))}: {question.name}: {shown} {error}; asked was: "
                f"{question.text}. Nothing was written."
            ) from None

    def go_on(self, problem: str) -> bool:
        """See Answers.go_on."""
        if self._untested:
            print(f"  {problem} Written all the same (--untested).")
            return True
        raise SettingsError(
            f"{problem} Nothing was written. Put it right, or add --untested to write the answers as they "
            "are."
        )


def of_person() -> Person:
    """A person, when there is one. Raises `SettingsError`."""
    if not sys.stdin.isatty():
        raise SettingsError(
            "There is nobody to ask here. Nothing was written. Run this on a terminal, or name a file of "
            "answers with --answers FILE (docs/init.md lists the questions)."
        )
    return Person()
