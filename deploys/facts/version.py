"""The version of the stack that a recovery put in place of what the settings name, if one did."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class Named:
    """A version of the stack: what to check out, and the images that its data depends on."""

    ref: str
    loomio: str
    redis: str


@dataclass(frozen=True)
class Kept:
    """What runs because `backup` was made by it, and what the settings named when that was decided."""

    backup: str
    runs: Named
    instead_of: Named


class KeptVersionFact(FactBase[Kept | None]):
    """The record in the file `path`; None without one. Needs root."""

    def command(self, path: str) -> str:
        return f"cat {shlex.quote(path)} 2>/dev/null || true"

    def process(self, output: list[str]) -> Kept | None:
        text = "\n".join(output).strip()
        return parse(text) if text else None


def parse(text: str) -> Kept:
    """Read the record."""
    try:
        found: dict[str, Any] = json.loads(text)
        return Kept(found["backup"], Named(**found["runs"]), Named(**found["instead_of"]))
    except (ValueError, KeyError, TypeError) as error:
        raise FactProcessError(f"the record of the version that runs cannot be read: {error}") from error
