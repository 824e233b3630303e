"""What the Pi has of the agent: its installed versions, and what its last restore and its check say."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class AgentVersions:
    """`current`: the version that the link names, "" without one. `installed`: newest first. `partial`:
    leftovers.
    """

    current: str = ""
    installed: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()


class AgentVersionsFact(FactBase[AgentVersions]):
    """The AgentVersions under `root`."""

    @staticmethod
    def default() -> AgentVersions:
        return AgentVersions()

    def command(self, root: str) -> str:
        place = shlex.quote(root)
        return f'echo current $(basename "$(readlink {place}/current)"); ls -1t {place}/versions 2>&- || true'

    def process(self, output: list[str]) -> AgentVersions:
        current = output[0].removeprefix("current").strip()
        names = [line.strip() for line in output[1:] if line.strip()]
        return AgentVersions(
            current,
            tuple(name for name in names if not name.endswith(".partial")),
            tuple(name for name in names if name.endswith(".partial")),
        )


class JsonFact(FactBase[dict[str, Any] | None]):
    """A JSON document that a command prints; None when it prints nothing."""

    abstract = True

    def process(self, output: list[str]) -> dict[str, Any] | None:
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


class RestoreResultFact(JsonFact):
    """What the agent wrote down about the last restore; None when there was none. Needs root."""

    def command(self, path: str) -> str:
        return f"test ! -f {shlex.quote(path)} || cat {shlex.quote(path)}"


class BackupCheckFact(JsonFact):
    """The agent's own verdict on the newest backup in a store. Needs root; its exit status is part of the
    verdict.
    """

    def command(self, store: str) -> str:
        # The sentence on stderr is for people; the verdict is the JSON, or its absence.
        return f"loomio-backup check --store {shlex.quote(store)} --json || true"
