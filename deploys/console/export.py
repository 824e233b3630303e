"""`loomio-pi export`: one backup of the copy on this machine as one file that opens without our programs.

The Pi does the same with `loomio-backup export`, unless it holds no key (`encryption.offline_key`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploys.console.agent_here import Operator
from deploys.console.pull import OURS, copy_directory
from loomio_backup.command import export
from loomio_backup.config import LocalStore, Stores


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi export",
        description="Writes one backup of the copy that loomio-pi pull keeps here into one encrypted file, "
        "which opens with: age -d -i key.txt FILE | zstd -d | tar -x. FILE appears when it is whole.",
    )
    parser.add_argument("destination", metavar="FILE", type=Path, help="the file to write; must not exist")
    parser.add_argument("--backup", metavar="NAME", help="this one instead of the newest")
    parser.add_argument(
        "--from", dest="directory", type=Path, metavar="DIRECTORY",
        help="where the copy is (default: as for pull)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    operator = Operator.at_hand()
    directory = copy_directory(options.directory, operator)
    config = operator.config(Stores(local=LocalStore(path=directory)), directory / OURS)
    wish = export.Wish(options.destination, options.backup, store=None)
    return export.run(config, operator.credentials(), wish)
