"""`loomio-pi import-folder`: what a browser downloaded, turned into a checked copy to come back from."""

import argparse
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploys.console.agent_here import Operator
from deploys.console.downloads import Downloads
from deploys.console.pull import copy_directory, fetch, keys_of, tell
from inventories.settings import display
from inventories.validation import SettingsError
from loomio_backup.progress import say


def main(arguments: Sequence[str]) -> int:
    """The verb. 0: at least one backup is complete here, and nothing is wrong with any; raises
    `SettingsError` and `AgentError`.
    """
    parser = argparse.ArgumentParser(
        prog="loomio-pi import-folder",
        description="Takes backups out of what a browser has downloaded from Google Drive: a folder, or one "
        "zip, with everything in it, whatever it is called. Objects are known by their content, checked "
        "against their signed manifests, and laid out as a copy that a Pi can come back from. The download "
        "is only read.",
    )
    parser.add_argument("place", type=Path, metavar="FOLDER", help="the folder with the download, or its zip")
    parser.add_argument(
        "directory", nargs="?", type=Path, metavar="DIRECTORY",
        help="where the copy is (default: as in loomio-pi pull)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    operator = Operator.at_hand()
    directory = copy_directory(options.directory, operator)
    with tempfile.TemporaryDirectory(prefix="loomio-pi-") as scratch:
        downloads = Downloads(options.place, Path(scratch), keys_of(operator))
        say(f"looking for backups in {display(options.place)}")
        downloads.look()
        tell(downloads.problems)
        if not downloads.manifests:
            raise SettingsError(_nothing(options.place, downloads))
        report = fetch(downloads, directory, operator, read_data=False, lists_lag=False)
    tell(report.problems)
    if report.newest is None:
        raise SettingsError(
            f"No backup in {display(options.place)} is complete. What there was is kept in "
            f"{display(directory)}: download what is missing (named above), and type the same again."
        )
    say(
        "To bring a Pi back from it, set backup.drive to off in the settings and type: loomio-pi deploy "
        f"disaster_recovery --data from={shlex.quote(display(directory))}"
    )
    return 1 if report.problems or downloads.problems else 0


def _nothing(place: Path, downloads: Downloads) -> str:
    locked = (
        f" {downloads.locked} files there are encrypted for another key: is it the secrets file of this Pi?"
        if downloads.locked
        else ""
    )
    return (
        f"{display(place)} has no manifest (NAME.manifest.age) that your key opens, so nothing in it is "
        f"known. Nothing was done.{locked} In Google Drive select the whole folder with the backups, "
        "download it, wait for all of its zips, and type the same again."
    )
