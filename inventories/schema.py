"""The settings' schema for editors (JSON Schema 2020-12): names, descriptions, choices and ranges.

It knows less than the program: whether a cron expression or a time zone is one, only `load_settings` says.
`pi.schema.json` beside this file is what `loomio-pi schema` prints.
"""

import copy
import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from inventories import checks
from inventories.settings import ROOT, Settings

#: Editors read YAML 1.2, in which off and no are words.
_OFF = {"enum": ["off", "no", False]}
_MEASURED = {
    checks.size: r"^[0-9]+(\.[0-9]+)? ?(kB|MB|GB|TB)$",
    checks.rate: r"^[0-9]+(\.[0-9]+)? ?(kB/s|MB/s|kbit/s|Mbit/s)$",
}
_OVERRIDE = "ForOnePi"


class _Written(GenerateJsonSchema):
    """What people write, where that is not what the program works with."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        function: Any = schema["function"]["function"]
        if function is checks.off:
            return {"anyOf": [super().function_before_schema(schema), _OFF]}
        if pattern := _MEASURED.get(function):
            return {"anyOf": [{"type": "string", "pattern": pattern}, {"type": "null"}]}
        return super().function_before_schema(schema)


def text() -> str:
    """The schema as it lies in pi.schema.json."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The schema."""
    found = Settings.model_json_schema(schema_generator=_Written)
    _without_places(found)
    groups = found["$defs"]
    groups["StackSettings"]["properties"]["environment"]["additionalProperties"] = {
        # Text as it stands there, whatever YAML makes of it.
        "type": ["string", "number", "boolean", "null"]
    }
    partial = _partial({name: group for name, group in groups.items() if name != "Host"})
    whole = _partial({"Settings": {key: value for key, value in found.items() if key != "$defs"}})
    del whole["Settings" + _OVERRIDE]["properties"]["hosts"]
    groups["Host"]["properties"]["settings"] = {
        "description": groups["Host"]["properties"]["settings"]["description"],
        "$ref": f"#/$defs/Settings{_OVERRIDE}",
    }
    found["$defs"] = {**groups, **partial, **whole}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made by loomio-pi schema, and compared with the program by its tests.",
        **found,
        "title": "inventories/pi.yml",
    }


def _partial(groups: dict[str, Any]) -> dict[str, Any]:
    """The same groups, of which nothing has to be there."""
    result = {}
    for name, group in groups.items():
        one = _renamed(copy.deepcopy(group))
        one.pop("required", None)
        result[name + _OVERRIDE] = one
    return result


def _renamed(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: f"{value}{_OVERRIDE}" if key == "$ref" else _renamed(value) for key, value in node.items()
        }
    return [_renamed(one) for one in node] if isinstance(node, list) else node


def _without_places(node: Any) -> None:
    """Take out defaults that name a place of this checkout, where others have other ones, and those of whole
    groups, which repeat what stands in the groups.
    """
    if isinstance(node, dict):
        default = node.get("default")
        if isinstance(default, dict) or str(default).startswith(str(ROOT)):
            del node["default"]
        for below in node.values():
            _without_places(below)
    elif isinstance(node, list):
        for below in node:
            _without_places(below)
