"""Options that several verbs share."""

import argparse
from typing import TYPE_CHECKING, TypeAlias

from loomio_backup import moment

if TYPE_CHECKING:
    Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
else:
    Verbs = object


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def add_store(parser: argparse.ArgumentParser) -> None:
    """`--store`."""
    parser.add_argument("--store", choices=["local", "drive"], help="only this store")


def add_expectation(parser: argparse.ArgumentParser) -> None:
    """`--expect-newer-than`, as a time (see moment.py)."""
    parser.add_argument(
        "--expect-newer-than",
        metavar="TIME",
        type=moment.typed,
        help="fail when the newest backup is not newer than this, such as '2026-11-23 14:30': for a machine "
        "that does not know what has been in the store",
    )


def add_wait(parser: argparse.ArgumentParser) -> None:
    """`--wait`."""
    parser.add_argument(
        "--wait", action="store_true", help="let another run finish first (without: fail while there is one)"
    )
