"""What `loomio-pi init` writes: settings and secrets as texts, with the explanations of the example kept."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inventories.secrets_edit import with_values
from inventories.settings import ROOT, display
from inventories.validation import SettingsError

EXAMPLE = ROOT / "inventories" / "pi.example.yml"
_HOST = "loomio"
_SCHEMA = "# yaml-language-server: $schema=pi.schema.json\n"
_HEAD = (
    "# Every setting there is, with what it is for. Copy this file to pi.yml and change what is marked with "
    '"you":\n# the rest stands at its default and can be left out. '
)


def settings_text(name: str, values: Mapping[tuple[str, ...], Any], folder: Path) -> str:
    """The example, about a Pi called `name` and with `values` by their key paths, for a file in `folder`."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (
        (f"\n  {_HOST}:\n", f"\n  {name}:\n"),
        (_HEAD, "# The settings of your Pi. Every one there is stands here, with what it is for. "),
    ):
        assert text.count(old) == 1, f"the example lacks {old!r}"
        text = text.replace(old, new)
    if folder.resolve() != EXAMPLE.parent:
        # The schema is beside the example.
        text = text.replace(_SCHEMA, "")
    return with_values(text, dict(values))


def leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Key paths and values of nested groups."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def write_new(path: Path, text: str) -> None:
    """Create a file; raises `SettingsError` when it exists or cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SettingsError(
            f"{display(path)} cannot be made: {error.strerror}. Nothing was written."
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
