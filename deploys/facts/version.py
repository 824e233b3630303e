"""The version of the stack that is on the Pi: what its `.env` names, and what a recovery put in place of what
the settings name, if one did.
"""

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


@dataclass(frozen=True)
class Placed:
    """The images that `.env` on the Pi names (None: none), and whether the stack was ever brought up."""

    loomio: str | None
    postgres: str | None
    redis: str | None
    brought_up: bool


class PlacedFact(FactBase[Placed | None]):
    """The Placed of the stack in `directory`; None without an `.env`. `record`: what an `up` leaves."""

    def command(self, directory: str, record: str) -> str:
        file = shlex.quote(f"{directory}/.env")
        return (
            f"test -f {file} || exit 0; echo there; test ! -e {shlex.quote(record)} || echo brought up; "
            f"grep -E '^(LOOMIO|POSTGRES|REDIS)_IMAGE=' {file} || true"
        )

    def process(self, output: list[str]) -> Placed | None:
        if "there" not in output:
            return None
        named = dict(line.split("=", 1) for line in output if "=" in line)
        images = {key: named.get(f"{key.upper()}_IMAGE") or None for key in ("loomio", "postgres", "redis")}
        return Placed(**images, brought_up="brought up" in output)


class UpdateResultFact(FactBase[dict[str, Any] | None]):
    """The agent's report of the last update, from the file `path`; None without one. Needs root."""

    def command(self, path: str) -> str:
        return f"cat {shlex.quote(path)} 2>/dev/null || true"

    def process(self, output: list[str]) -> dict[str, Any] | None:
        text = "\n".join(output).strip()
        if not text:
            return None
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise FactProcessError(f"the report of the update cannot be read: {error}") from error
        return found


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
