"""One backup, now; with a label it is kept until it is unpinned."""

import re

from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host

from deploys.operations.backup import backed_up
from deploys.steps.paths import BACKUP_SERVICE, LABELLED_BACKUP
from loomio_backup.config import LABEL


def wanted_label(host: Host) -> str | None:
    """The label that was given with --data. Raises DeployError, before anything is asked of the Pi."""
    label = host.data.get("label")
    if label is None:
        return None
    # pyinfra makes numbers and truth of what looks like them.
    if not isinstance(label, str) or not re.fullmatch(LABEL, label):
        raise DeployError(
            f"{label!r} cannot be a label. Nothing was done. A label has up to 40 of a-z, 0-9, - and _, "
            "begins with a letter or digit, and is no bare number, such as: --data label=before-update"
        )
    return label


@deploy("Backup")
def make(label: str | None) -> None:
    """Back up everything into every store."""
    if label is None:
        backed_up(name="Make a backup", unit=BACKUP_SERVICE)
    else:
        backed_up(
            name=f"Make the backup {label}, which is kept", unit=LABELLED_BACKUP.replace("@", f"@{label}")
        )
