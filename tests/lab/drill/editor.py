"""Stands in for the person in $EDITOR: merges the values of $LAB_EDITS into the YAML file it is given."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml


def merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    """Merge nested dictionaries in place; what is not a dictionary replaces what was there."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def main() -> None:
    file = Path(sys.argv[-1])
    text = yaml.safe_load(file.read_text())
    merge(text, json.loads(Path(os.environ["LAB_EDITS"]).read_text()))
    file.write_text(yaml.safe_dump(text, sort_keys=False))


if __name__ == "__main__":
    main()
