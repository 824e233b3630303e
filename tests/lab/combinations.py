"""Which optional parts are turned on together: one setup brings each combination about, and the next one
changes nothing. The two of LIVES are lived through by the drills; `make faults` goes through all of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inventories.stack_settings import Parts

from .pi import Release


@dataclass(frozen=True)
class Combination:
    """`parts`: names of stack.parts. `settings`, `secrets`: what else is different, as in the two files."""

    parts: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wanted(self) -> dict[str, Any]:
        """Its part of the settings file: every part is said to be on or off."""
        parts = {name: name in self.parts for name in Parts.model_fields}
        return _over({"stack": {"parts": parts}}, self.settings)

    @property
    def needed(self) -> dict[str, Any]:
        """Its part of the secrets file."""
        token = {"stack": {"tunnel_token": new_token()}} if "tunnel" in self.parts else {}
        return _over(token, self.secrets)


COMBINATIONS: Mapping[str, Combination] = {
    "nothing": Combination(),
    "tunnel": Combination(["tunnel"]),
    "tunnel and channels": Combination(["tunnel", "channels"]),
    "tunnel, adminer and mail": Combination(["tunnel", "adminer", "mail_in"]),
    "netdata": Combination(["netdata"]),
    "netdata on the Pi and in a container": Combination(["netdata"], {"monitoring": {"netdata": True}}),
    "hourly chores and channels": Combination(["channels"], {"stack": {"hourly_tasks": True}}),
    "figures for Prometheus": Combination(
        ["netdata", "adminer"],
        {"monitoring": {"prometheus_file": "/var/lib/prometheus/node-exporter/loomio-backup.prom"}},
    ),
    "everything": Combination(list(Parts.model_fields), {"stack": {"hourly_tasks": True}}),
}
#: What the Pi of each drill has.
LIVES: Mapping[Release, Combination] = {
    "trixie": COMBINATIONS["tunnel and channels"],
    "bookworm": COMBINATIONS["tunnel, adminer and mail"],
}


def new_token() -> str:
    """A tunnel's token, as long as the real ones; another each time, because it is looked for as a secret."""
    return "eyJ" + secrets.token_urlsafe(90)


def _over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in more.items():
        below = found.get(key)
        found[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return found
