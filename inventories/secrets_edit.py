"""Puts values into the secrets' text as a person would: in their place, with everything else left as it is.

The text is YAML with the operator's own comments and order, which no YAML writer would keep. So a value is
replaced where it stands, and the result is only believed when it reads as the old text with that one change.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml

from inventories.validation import SettingsError, dotted, parsed

_SHOWN = "the secrets"
P = TypeVar("P", bound=tuple[str, ...])


def with_values(text: str, values: Mapping[P, Any]) -> str:
    """`text` with each key path of `values`, such as (group, key), set: text, lists and dictionaries as JSON
    has them.

    Keys and groups that are missing are added. Raises `SettingsError` when the text has no room that this
    program can find, and for text that is not YAML.
    """
    for path, value in values.items():
        before = parsed(text, _SHOWN, secret=True).data
        changed = _placed(text, path, json.dumps(value, ensure_ascii=False))
        if not _reads_as(changed, before, path, value):
            above = ": and below it, indented, ".join(path)
            raise SettingsError(
                f"{dotted(path)} cannot be put into the secrets by this program. Nothing was changed. Write "
                f"it as a line of its own ({above}:) with: loomio-pi secrets edit"
            )
        text = changed
    return text


def _reads_as(changed: str, before: Any, path: tuple[str, ...], value: Any) -> bool:
    """Whether the changed text says what the old one said (`before`), and `value` in its place."""
    try:
        return bool(parsed(changed, _SHOWN, secret=True).data == _with(before, path, value))
    except (SettingsError, TypeError):
        return False


def _with(data: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    if not isinstance(data, dict | None):
        raise TypeError
    return {**(data or {}), path[0]: _with((data or {}).get(path[0]), path[1:], value)}


def _placed(text: str, path: tuple[str, ...], value: str) -> str:
    found: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    depth = 0
    while depth < len(path) and (below := _child(found, path[depth])) is not None:
        found, depth = below, depth + 1
    if depth == len(path):
        return _spliced(text, found.start_mark.index, _end(text, found), value)
    key, *below_key = path[depth:]
    # What is missing above the last key is made as one value: {"secrets": {"app": …}}.
    for name in reversed(below_key[1:] if depth == 0 else below_key):
        value = f"{{{json.dumps(name)}: {value}}}"
    if depth == 0:
        inner = f"\n  {below_key[0]}: {value}" if below_key else f" {value}"
        return (f"{text.rstrip()}\n\n" if text.strip() else "") + f"{key}:{inner}\n"
    if not isinstance(found, yaml.MappingNode):
        indent = " " * (2 * depth)
        return _spliced(text, found.start_mark.index, _end(text, found), f"\n{indent}{key}: {value}")
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
