"""From YAML text to a checked model, and from a mistake to one sentence that says where it is.

An error names the file and line, the key path, the value as it is written (never in a file of secrets) and
what is expected instead, with the nearest known key for one that is unknown. Keys that are there twice are
errors too.
"""

import difflib
import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

KeyPath = tuple[str | int, ...]
HIDDEN = "hidden"
"""Type of an error about a value that messages must not repeat."""

M = TypeVar("M", bound=BaseModel)


class SettingsError(Exception):
    """The settings or the secrets cannot be used; `str(error)` is the sentence to show."""


@dataclass
class Document:
    """A YAML file's content, and for every key path in it the line (from 1) and the text of its value.

    `origins`: for what was laid over the rest (overrides.py), where it really stands.
    """

    file: str
    as_written: Collection[KeyPath] = ()
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    texts: dict[KeyPath, str] = field(default_factory=dict)
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """`file:line` of a key path or, where it is not there, of the group that lacks it."""
        return f"{self.file}:{_line(self, path)}"

    def origin(self, path: KeyPath) -> KeyPath:
        """The key path under which a person finds what is meant by `path`."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return (*self.origins[path[:length]], *path[length:])
        return path


def validated(
    model: type[M],
    text: str,
    file: str,
    *,
    context: Mapping[str, Any] | None = None,
    as_written: Collection[KeyPath] = (),
    secret: bool = False,
) -> M:
    """Read `text` (YAML) as a `model`; `file` is what messages call it. Raises `SettingsError`.

    With `secret`, messages contain no value and no other part of the text. `context` goes to the model's
    validators. Values directly below the paths in `as_written` are text as it stands there: neither numbers
    nor yes and no (`*` stands for any name in such a path).
    """
    document = parsed(text, file, as_written=as_written, secret=secret)
    return model_of(model, document, context=context, secret=secret)


def model_of(
    model: type[M],
    document: Document,
    *,
    context: Mapping[str, Any] | None = None,
    secret: bool = False,
    about: str | None = None,
) -> M:
    """A document as a `model`, as `validated` does it. `about`: whom a missing key is missing for."""
    file = document.file
    if document.data is None:
        raise SettingsError(f"{file} is empty.")
    if not isinstance(document.data, dict):
        raise SettingsError(f"{file}:1: a list of keys and values is expected, such as `name: value`.")
    try:
        return model.model_validate(document.data, context=dict(context or {}))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        # A misspelt key is often a missing one as well: the misspelling is what to mend.
        first = min(details, key=lambda one: (one["type"] != "extra_forbidden", _line(document, one["loc"])))
        raise SettingsError(_sentence(model, document, first, secret, about)) from None


def under(path: KeyPath, above: KeyPath) -> bool:
    """Whether a key path is `above` or stands below it."""
    return path[: len(above)] == above


def known_keys(model: type[BaseModel]) -> list[str]:
    """Every key path of a model, dotted, `*` for names that the user chooses: `hosts.*.address`."""
    keys: list[str] = []
    for name, info in _fields(model).items():
        keys.append(name)
        keys += [f"{name}.{below}" for below in _keys_of(info.annotation)]
    return keys


def parsed(text: str, file: str, *, as_written: Collection[KeyPath] = (), secret: bool = False) -> Document:
    """Parse YAML, keeping track of places. Raises `SettingsError` also for duplicate keys."""
    document = Document(file, as_written)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError:  # a control character
        raise SettingsError(f"{file} is not valid YAML; it must be plain UTF-8 text.") from None
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _value(loader, node, (), document, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        raise SettingsError(f"{place}: this is not valid YAML{_yaml_problem(error, secret)}.") from None
    except (yaml.YAMLError, RecursionError):
        raise SettingsError(f"{file} is not valid YAML; it must be plain UTF-8 text.") from None
    finally:
        loader.dispose()
    return document


def _yaml_problem(error: yaml.MarkedYAMLError, secret: bool) -> str:
    hint = "put values with special characters in quotes, and indent with spaces"
    return f"; {hint}" if secret or not error.problem else f" ({error.problem}); {hint}"


def _value(
    loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath, document: Document, above: tuple[int, ...]
) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in above:
        raise SettingsError(f"{document.file}:{document.lines[path]}: a value cannot contain itself.")
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, document, above)
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(loader, item, (*path, index), document, above) for index, item in enumerate(node.value)
        ]
    document.texts[path] = node.value
    if any(_matches(path[:-1], pattern) for pattern in document.as_written):
        return node.value
    return loader.construct_object(node, deep=True)


def _matches(path: KeyPath, pattern: KeyPath) -> bool:
    return len(path) == len(pattern) and all(
        wanted in ("*", part) for part, wanted in zip(path, pattern, strict=True)
    )


def _mapping(
    loader: yaml.SafeLoader, node: yaml.MappingNode, path: KeyPath, document: Document, above: tuple[int, ...]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SettingsError(f"{document.file}:{line}: a key must be a simple name.")
        key = key_node.value
        below = (*path, key)
        if key in found:
            raise SettingsError(
                f"{document.file}:{line}: {dotted(below)} is there twice "
                f"(first in line {document.lines[below]}); keep one of them."
            )
        document.lines[below] = line
        found[key] = _value(loader, value_node, below, document, above)
    return found


def dotted(path: KeyPath) -> str:
    """A key path as messages write it: `backup.app_data[2]`."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _line(document: Document, path: KeyPath) -> int:
    while path and path not in document.lines:
        path = path[:-1]
    return document.lines.get(path, 1)


def _sentence(
    model: type[BaseModel], document: Document, error: ErrorDetails, secret: bool, about: str | None
) -> str:
    path: KeyPath = error["loc"]
    origin = document.origin(path)
    start = f"{document.place(path)}: {dotted(origin) or 'the file'}"
    if error["type"] == "extra_forbidden":
        return f"{start} is not a known key{_suggestion(model, path, origin[: len(origin) - len(path)])}"
    info = _info(model, path)
    expected = f"; expected: {info.description}." if info and info.description else "."
    if error["type"] == "missing":
        return f"{start} is missing{f' for {about}' if about else ''}{expected}"
    if error["type"] in ("value_error", HIDDEN):
        # Our own validators: what is wrong with the value, worded to follow it.
        problem = error["msg"].removeprefix("Value error, ")
    else:
        problem = _PROBLEMS.get(error["type"], "is not possible here")
    text = document.texts.get(path)
    if text is None and error["type"] == "value_error":
        # About a whole group: the problem says it all.
        return f"{start} {problem}."
    if text in ("", "~", "null"):
        return f"{start} is empty{expected}"
    if error["type"] == "string_type" and text is not None:
        problem += " to YAML (put it in quotes)"
    if secret or error["type"] == HIDDEN or text is None:
        return f"{start} {problem}{expected}"
    return f"{start}: {_shown(text)} {problem}{expected}"


_PROBLEMS = {
    "string_type": "is not text",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "bool_type": "is neither true nor false",
    "literal_error": "is not one of the choices",
    "list_type": "is not a list",
    "dict_type": "is not a group of keys",
    "model_type": "is not a group of keys",
    "too_short": "has too few entries",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "does not have the right form",
}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _suggestion(model: type[BaseModel], path: KeyPath, before: KeyPath) -> str:
    wrong = str(path[-1])
    siblings = list(_fields(_model_at(model, path[:-1])))
    if close := difflib.get_close_matches(wrong, siblings, n=1):
        return f"; did you mean {dotted((*before, *path[:-1], close[0]))}?"
    # Right name, wrong place.
    leaves = [key for key in known_keys(model) if key.rsplit(".", 1)[-1] == wrong]
    if leaves:
        return f"; did you mean {leaves[0].replace('*', 'NAME')}?"
    return f"; known here: {', '.join(siblings)}."


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    annotation: Any = model
    for part in path:
        annotation = _below(annotation, part)
    found = next(_models_in(annotation), None)
    assert found is not None, "only a model can complain about an unknown key"
    return found


def _info(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    """The field that `path` leads to, or for an entry of a list or mapping the field that holds it."""
    annotation: Any = model
    info: FieldInfo | None = None
    for part in path:
        parent = next(_models_in(annotation), None)
        if parent is not None:
            info = _fields(parent).get(str(part))
            if info is None:
                return None
        annotation = _below(annotation, part)
    return info


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the keys that people write: some of them (`from`) cannot be names in Python."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _below(annotation: Any, part: str | int) -> Any:
    for choice in _choices(annotation):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return _fields(choice)[str(part)].annotation
        if get_origin(choice) in (dict, list):
            return get_args(choice)[-1]
    return None


def _choices(annotation: Any) -> Iterator[Any]:
    """The types that an annotation stands for, without Annotated and Optional."""
    if get_origin(annotation) is Annotated:
        yield from _choices(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for choice in get_args(annotation):
            yield from _choices(choice)
    else:
        yield annotation


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    for choice in _choices(annotation):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            yield choice


def _keys_of(annotation: Any) -> list[str]:
    for choice in _choices(annotation):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return known_keys(choice)
        if get_origin(choice) is dict and next(_models_in(get_args(choice)[1]), None):
            return ["*", *(f"*.{key}" for key in _keys_of(get_args(choice)[1]))]
    return []
