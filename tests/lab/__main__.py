"""What a person may do with labs that were kept: list and remove them."""

from __future__ import annotations

import argparse

from .docker import docker
from .lab import LABEL, remove


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="show the containers of all labs")
    removing = verbs.add_parser("remove", help="remove a lab's containers, volumes and networks")
    removing.add_argument("name", help="the lab's name, or all")
    arguments = parser.parse_args()
    if arguments.verb == "list":
        print(docker("ps", "-a", "--filter", f"label={LABEL}"))
    else:
        removed = remove(None if arguments.name == "all" else arguments.name)
        print(f"removed {len(removed)} containers, volumes and networks")


if __name__ == "__main__":
    main()
