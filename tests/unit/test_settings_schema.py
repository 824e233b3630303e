"""The schema for editors is the program's, and lets through what the program takes."""

from __future__ import annotations

from typing import Any

from deploys.console import main as console
from inventories import schema
from inventories.settings import ROOT, Settings
from inventories.validation import known_keys

FILE = ROOT / "inventories" / "pi.schema.json"


def keys(document: dict[str, Any], node: dict[str, Any], prefix: str = "") -> list[str]:
    """Key paths of a schema, `*` for names that the user chooses."""
    if "$ref" in node:
        return keys(document, document["$defs"][node["$ref"].rpartition("/")[2]], prefix)
    found = []
    for below in node.get("anyOf", []):
        found += keys(document, below, prefix)
    for name, below in node.get("properties", {}).items():
        found += [prefix + name, *keys(document, below, f"{prefix}{name}.")]
    free = node.get("additionalProperties")
    if isinstance(free, dict) and "$ref" in free:
        found += [f"{prefix}*", *keys(document, free, f"{prefix}*.")]
    return found


def test_the_committed_file_is_what_the_program_prints(capsys: Any) -> None:
    assert console.main(["schema"]) == 0
    printed = capsys.readouterr().out
    assert printed == FILE.read_text(), "type: loomio-pi schema > inventories/pi.schema.json"
    assert str(ROOT) not in printed


def test_it_has_every_setting_and_each_again_for_one_pi() -> None:
    document = schema.document()
    found = set(keys(document, document))
    own = {key for key in found if key.startswith("hosts.*.settings.")}
    assert sorted(found - own) == sorted(known_keys(Settings))
    assert {key.removeprefix("hosts.*.settings.") for key in own} == {
        key for key in known_keys(Settings) if not key.startswith("hosts")
    }


def test_it_asks_for_what_is_needed_and_for_nothing_in_what_differs() -> None:
    document = schema.document()
    groups = document["$defs"]
    assert document["required"] == ["hosts", "stack"]
    assert document["additionalProperties"] is False
    assert "repository" in groups["StackSettings"]["required"]
    assert "required" not in groups["StackSettingsForOnePi"]
    assert "hosts" not in groups["SettingsForOnePi"]["properties"]


def test_it_takes_what_people_write_in_place_of_numbers() -> None:
    rules = schema.document()["$defs"]["RetentionSettings"]["properties"]
    assert {"enum": ["off", "no", False]} in rules["days"]["anyOf"]
    assert any("10 GB" not in str(one) and "kB|MB|GB|TB" in str(one) for one in rules["space_limit"]["anyOf"])


def test_the_example_names_it() -> None:
    first = (ROOT / "inventories" / "pi.example.yml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={FILE.name}"
