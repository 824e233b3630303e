"""Puts values into the secrets' text as a person would: in their place, with everything else left as it is.

The text is YAML with the operator's own comments and order, which no YAML writer would keep. So a value is
replaced where it stands, and the result is only believed when it reads as the old text with that one change.
"""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from inventories.validation import SettingsError, dotted, parsed

_SHOWN = "the secrets"


def with_values(text: str, values: Mapping[tuple[str, str], Any]) -> str:
    """`text` with each (group, key) of `values` set: text, lists and dictionaries as JSON has them.

    Keys and groups that are missing are added. Raises `SettingsError` when the text has no room that this
    program can find, and for text that is not YAML.
    """
    for path, value in values.items():
        before = parsed(text, _SHOWN, secret=True).data
        changed = _placed(text, path, json.dumps(value, ensure_ascii=False))
        if not _reads_as(changed, before, path, value):
            raise SettingsError(
                f"{dotted(path)} cannot be put into the secrets by this program. Nothing was changed. Write "
                f"it as a line of its own ({path[0]}: and below it, indented, {path[1]}:) with: loomio-pi "
                "secrets edit"
            )
        text = changed
    return text


def _reads_as(changed: str, before: Any, path: tuple[str, str], value: Any) -> bool:
    """Whether the changed text says what the old one said (`before`), and `value` in its place."""
    group = (before or {}).get(path[0]) or {} if isinstance(before, dict | None) else None
    if not isinstance(group, dict):
        return False
    try:
        return bool(
            parsed(changed, _SHOWN, secret=True).data
            == {**(before or {}), path[0]: {**group, path[1]: value}}
        )
    except SettingsError:
        return False


def _placed(text: str, path: tuple[str, str], value: str) -> str:
    group, key = path
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found = _child(root, group)
    if found is None:
        return (f"{text.rstrip()}\n\n" if text.strip() else "") + f"{group}:\n  {key}: {value}\n"
    child = _child(found, key)
    if child is not None:
        return _spliced(text, child.start_mark.index, _end(text, child), value)
    if not isinstance(found, yaml.MappingNode):
        return _spliced(text, found.start_mark.index, _end(text, found), f"\n  {key}: {value}")
    if found.flow_style:
        place = found.end_mark.index - 1
        return _spliced(text, place, place, f"{', ' if found.value else ''}{key}: {value}")
    first = found.value[0][0].start_mark
    line_end = text.find("\n", _end(text, found))
    place = len(text) if line_end < 0 else line_end
    return text[:place] + f"\n{' ' * first.column}{key}: {value}" + text[place:]


def _spliced(text: str, start: int, end: int, value: str) -> str:
    # An empty value begins right behind the colon.
    space = " " if text[start - 1 : start] == ":" and not value.startswith("\n") else ""
    return text[:start] + space + value + text[end:]


def _child(node: yaml.Node | None, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _end(text: str, node: yaml.Node) -> int:
    """Where a node's own text ends: PyYAML counts comments that follow a block as part of it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    return int(node.start_mark.index + len(text[node.start_mark.index : node.end_mark.index].rstrip()))
