"""What a restore does for the case that it was a mistake: a pinned backup of what is live, and pins on the
newer backups that it passes over.
"""

from collections.abc import Mapping

from loomio_backup import clock
from loomio_backup.backup import backup
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError, RestoreError, StoreError
from loomio_backup.progress import say
from loomio_backup.restore.restore_choice import Wish, confirm
from loomio_backup.retention.pins import Pin, Pins
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

LABEL = "before-restore"


def back_up_first(
    config: Config, credentials: Credentials, wish: Wish, state: StateDirectory, catalogue: Catalogue
) -> str | None:
    """Make a pinned backup of what is live; its name, or None when that failed.

    The live data is kept aside anyway, so an unattended restore goes on without, and a person decides. Raises
    RestoreError where nothing is kept aside.
    """
    say(f"what is live is backed up first (pinned, labelled {LABEL})")
    try:
        return backup.within(config, credentials, state, catalogue, label=LABEL, pin=True, safety=True).name
    except AgentError as error:
        if wish.streaming:
            raise RestoreError(
                f"what is live could not be backed up first, so nothing was restored or changed. {error} "
                "In streaming mode nothing is kept aside, so that backup has to succeed."
            ) from error
        say(f"that backup failed. {error}")
        if not wish.unattended:
            confirm("What is live is still kept aside. Type yes to restore without that backup: ")
        else:
            say("the restore goes on: what is live is kept aside")
    return None


def pin_newer(
    config: Config,
    credentials: Credentials,
    state: StateDirectory,
    catalogue: Catalogue,
    reader: Reader,
    stores: Mapping[str, Store],
    histories: Mapping[str, History],
    chosen: str,
    newer: list[str],
) -> None:
    """Pin backups that were passed over: what is left of them may be all that is left of the last hours."""
    pins = Pins(config, credentials, state, catalogue, reader)
    for name in newer:
        pin = Pin(
            backup=name,
            reason=f"it is newer than {chosen}, which was restored because this one is damaged",
            pinned_at=clock.now(),
            by="program",
        )
        for kind, history in histories.items():
            if all(summary.name != name for summary in history.backups):
                continue
            try:
                pins.put(stores[kind], history, pin)
                say(f"{kind}: {name} is pinned: it is newer than what is restored")
            except (StoreError, AgentError) as error:
                say(f"{kind}: {name} could not be pinned: {error} Pin it later: loomio-backup pin {name}")
