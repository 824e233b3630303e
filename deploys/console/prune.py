"""`loomio-pi prune`: retention for a Drive in which the Pi itself never deletes (`backup.drive.append_only`).

There, a thief of the Pi can add and read, but not remove. What the settings no longer keep is removed from
here, with the credentials of an account that may, and that the Pi never gets.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from deploys.console.agent_here import Operator
from inventories.validation import SettingsError
from loomio_backup.config import Stores
from loomio_backup.credentials import DRIVE
from loomio_backup.retention import pinning, pruning


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi prune",
        description="Removes from Google Drive what the retention in the settings does not keep, with the "
        "account in drive.manager_credentials. For a Pi that never deletes there (backup.drive.append_only); "
        "any other prunes by itself.",
    )
    parser.add_argument("--dry-run", action="store_true", help="change nothing, and explain every decision")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on although backups disappeared: you have looked, and it is right",
    )
    parser.add_argument("--unpin", metavar="NAME", help="only remove the pin of this backup")
    options = parser.parse_args(arguments)
    operator = Operator.at_hand()
    drive, manager = operator.on_the_pi().stores.drive, operator.secrets.drive.manager_credentials
    if drive is None or not drive.append_only:
        raise SettingsError(
            "The Pi prunes by itself: backup.drive.append_only is not on in the settings. Nothing was done. "
            "To see what it would remove, type on the Pi: sudo loomio-backup prune --dry-run"
        )
    if manager is None:
        raise SettingsError(
            "drive.manager_credentials is missing in the secrets: the JSON of an account that is a manager "
            "of the shared drive. Nothing was done. Put it in with: loomio-pi secrets edit"
        )
    stores = Stores(drive=drive.model_copy(update={"append_only": False}))
    config = operator.config(stores, _state_directory() / operator.name)
    credentials = operator.credentials(**{DRIVE: json.dumps(manager)})
    if options.unpin is not None:
        return pinning.unpin(config, credentials, options.unpin)
    return pruning.run(config, credentials, pruning.Wish(dry_run=options.dry_run, resume=options.resume))


def _state_directory() -> Path:
    """Where this machine remembers what it removed and watches: lists of objects, and no secret."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "loomio-pi"
