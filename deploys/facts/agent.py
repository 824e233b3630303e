"""What the Pi has of the agent: its installed versions, and what its last restore and its check say."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class AgentVersions:
    """`current`: the version that the link names, "" without one. `installed`: whole versions, newest first.
    `leftover`: unfinished builds, and versions of which something is missing.
    """

    current: str = ""
    installed: tuple[str, ...] = ()
    leftover: tuple[str, ...] = ()


#: Shell functions: `contents DIR` is a hash of what a version consists of (names and sizes of all files, and
#: the content of our own), `whole DIR` compares it with the one that was written down when it was built.
CONTENTS = r"""
contents() { (
  cd "$1" || exit 1
  {
    find . -path '*/__pycache__' -prune -o \( -type f -o -type l \) ! -name ".contents*" -printf '%P %s %l\n'
    find . -path '*/loomio_backup/*.py' -exec sha256sum {} +
    sha256sum bin/loomio-backup
  } | LC_ALL=C sort | sha256sum
); }
whole() { test -s "$1/.contents" && test "$(contents "$1" 2>/dev/null)" = "$(cat "$1/.contents")"; }
"""


class AgentVersionsFact(FactBase[AgentVersions]):
    """The AgentVersions under `root`."""

    @staticmethod
    def default() -> AgentVersions:
        return AgentVersions()

    def command(self, root: str) -> str:
        return (
            f"{CONTENTS}cd {shlex.quote(root)} 2>/dev/null || {{ echo current; exit 0; }}; "
            'echo current $(basename "$(readlink current)"); '
            "for name in $(ls -1t versions 2>/dev/null); do "
            'case "$name" in *.partial) echo "leftover $name"; continue;; esac; '
            'if whole "versions/$name"; then echo "version $name"; '
            'else echo "leftover $name"; fi; done'
        )

    def process(self, output: list[str]) -> AgentVersions:
        found: dict[str, list[str]] = {"current": [], "version": [], "leftover": []}
        for line in output:
            kind, _, name = line.strip().partition(" ")
            found[kind].append(name)
        return AgentVersions(found["current"][0], tuple(found["version"]), tuple(found["leftover"]))


def _document(output: list[str]) -> dict[str, Any] | None:
    """The JSON object that a command printed; None when it printed nothing."""
    text = "\n".join(output).strip()
    if not text:
        return None
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FactProcessError(f"no JSON came back: {error}") from error
    if not isinstance(document, dict):
        raise FactProcessError("a JSON object was expected")
    return document


@dataclass(frozen=True)
class RestoreState:
    """How far the last restore on this Pi came.

    `journal`: preparing (nothing live was touched), switching (it must be finished), done, or "" without one.
    `result`: the agent's report of the last finished restore.
    """

    journal: str = ""
    result: dict[str, Any] | None = None


class RestoreStateFact(FactBase[RestoreState]):
    """The RestoreState, from the agent's two files. Needs root."""

    @staticmethod
    def default() -> RestoreState:
        return RestoreState()

    def command(self, journal: str, result: str) -> str:
        return (
            f'sed -n \'s/^ *"state": "\\([a-z]*\\)".*/journal \\1/p\' {shlex.quote(journal)} 2>/dev/null; '
            f"cat {shlex.quote(result)} 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> RestoreState:
        journal = ""
        if output[0].startswith("journal "):
            journal = output[0].removeprefix("journal ").strip()
            output = output[1:]
        return RestoreState(journal, _document(output))


@dataclass(frozen=True)
class Asked:
    """A restore that an operator asked for and has not read the end of: its `id` and the agent's options."""

    id: str
    options: str

    def ended(self, options: str, state: RestoreState) -> bool:
        """Whether the same is wanted now, and has been done."""
        result = state.result or {}
        return options == self.options and state.journal == "done" and result.get("wish") == self.id


class RestoreAskedFact(FactBase[Asked | None]):
    """The Asked in the file `path`; None without one. Needs root."""

    def command(self, path: str) -> str:
        return f"cat {shlex.quote(path)} 2>/dev/null || true"

    def process(self, output: list[str]) -> Asked | None:
        id_, _, options = "\n".join(output).strip().partition(" ")
        return Asked(id_, options) if id_ else None


class ProbeDueFact(FactBase[tuple[str, ...]]):
    """The stores whose settings or credentials have changed since they were last tried out; all of `stores`
    while there is no agent to ask. Needs root.
    """

    @staticmethod
    def default() -> tuple[str, ...]:
        return ()

    def command(self, stores: tuple[str, ...]) -> str:
        everything = " ".join(shlex.quote(store) for store in stores)
        return f"loomio-backup probe --due 2>/dev/null || printf '%s\\n' {everything}"

    def process(self, output: list[str]) -> tuple[str, ...]:
        return tuple(output)


class BackupCheckFact(FactBase[dict[str, Any] | None]):
    """The agent's own verdict on the newest backup in a store. Needs root; its exit status is part of the
    verdict.
    """

    def command(self, store: str) -> str:
        # The sentence on stderr is for people; the verdict is the JSON, or its absence.
        return f"loomio-backup check --store {shlex.quote(store)} --json || true"

    def process(self, output: list[str]) -> dict[str, Any] | None:
        return _document(output)


class StatusFact(FactBase[dict[str, Any] | None]):
    """How everything stands, as the agent sees it; None where it does not say. Needs root."""

    def command(self) -> str:
        return "loomio-backup status --json || true"

    def process(self, output: list[str]) -> dict[str, Any] | None:
        return _document(output)
