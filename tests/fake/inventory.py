"""The inventory of a scripted Pi: what it is and what it answers stands in the file that FAKE_PI names."""

import json
import os
import re
from pathlib import Path
from typing import Any

from inventories import unreached
from inventories.secrets import checked
from inventories.settings import load_settings


class _InTurn(dict[str, Any]):
    """An answer that is another one each time; the last one stays."""

    def get(self, key: str, default: Any = None) -> Any:
        if key != "stdout":
            return default
        turns = self["in_turn"]
        return turns.pop(0) if len(turns) > 1 else turns[0]


class _Lost(dict[str, Any]):
    """The Pi goes away instead of answering."""

    def get(self, key: str, default: Any = None) -> Any:
        raise unreached.ConnectionLostError("the line is cut")


_KINDS: dict[str, type[dict[str, Any]]] = {"in_turn": _InTurn, "lost": _Lost}
unreached.tell()
_script = json.loads(Path(os.environ["FAKE_PI"]).read_text())
# The first answer to a pattern counts, also where a later one has the very same pattern.
_answers: dict[re.Pattern[str], object] = {}
for _pattern, _answer in _script["answers"]:
    _kind = next(
        (kind for name, kind in _KINDS.items() if isinstance(_answer, dict) and name in _answer), None
    )
    _answers.setdefault(re.compile(_pattern), _kind(_answer) if _kind else _answer)
_settings_file = Path(_script["settings_file"])

hosts: list[tuple[str, dict[str, Any]]] = [
    (
        f"@fake/{_name}",
        {
            "fake_delay": _script["delay"],
            "fake_delay_jitter": 0,
            "fake_responses": _answers,
            "_sudo": True,
            "settings": load_settings(_settings_file),
            "secrets": checked(_script["secrets"], "secrets.yml"),
            "settings_file": _settings_file,
            "secrets_file": _settings_file.with_name("secrets.yml.age"),
            "host_name": _name,
        },
    )
    for _name in ("loomio", *_script["beside"])
]
if _script["one_unreachable"]:
    # Nothing listens on port 1.
    _nowhere = {"ssh_hostname": "127.0.0.1", "ssh_port": 1, "ssh_user": "pi", "host_name": "gone"}
    hosts.append(("gone", _nowhere))
