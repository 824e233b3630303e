"""`loomio-pi schema`: the settings' schema, for editors that check and complete as you type."""

import argparse
from collections.abc import Sequence

from inventories import schema


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code."""
    argparse.ArgumentParser(
        prog="loomio-pi schema",
        description="Prints the JSON Schema of the settings file. pi.example.yml names it in its first line, "
        "for editors with a YAML language server: they complete names, and mark mistakes as you type. "
        "inventories/pi.schema.json is the same.",
    ).parse_args(arguments)
    print(schema.text(), end="")
    return 0
