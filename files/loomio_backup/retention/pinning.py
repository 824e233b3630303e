"""`loomio-backup pin NAME` and `unpin NAME`: keep a backup whatever the settings say, and let it go again."""

from collections.abc import Callable

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import RetentionError, StoreError
from loomio_backup.progress import say
from loomio_backup.retention.pins import Pin, Pins
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

_Act = Callable[[Pins, Store, History], bool]
"""Does its part in one store; whether the store knows the backup."""


def pin(settings: Config, credentials: Credentials, backup: str, reason: str) -> int:
    """Pin a backup in every store that holds it."""
    wish = Pin(backup=backup, reason=reason, pinned_at=clock.now(), by="person")

    def act(pins: Pins, store: Store, history: History) -> bool:
        if all(summary.name != backup for summary in history.backups):
            return False
        done = "is now pinned" if pins.put(store, history, wish) else "was pinned already"
        say(f"{store.kind}: {backup} {done}")
        return True

    return _in_every_store(settings, credentials, backup, "pinned", act)


def unpin(settings: Config, credentials: Credentials, backup: str) -> int:
    """Remove the pin of a backup from every store. Not while a prune runs: it might give one store the pin
    that it still finds in another.
    """

    def act(pins: Pins, store: Store, history: History) -> bool:
        if backup not in history.pins:
            return any(summary.name == backup for summary in history.backups)
        if store.append_only:
            raise RetentionError(
                f"{backup} stays pinned there, because this machine never deletes in that store "
                f"(append_only). On the operator's machine type: loomio-pi prune --unpin {backup}"
            )
        pins.remove(store, history, backup)
        say(f"{store.kind}: {backup} is no longer pinned; it stays until the settings let it go")
        return True

    with StateDirectory(settings.state_directory).locked("unpin"):
        return _in_every_store(settings, credentials, backup, "unpinned", act)


def _in_every_store(settings: Config, credentials: Credentials, backup: str, done: str, act: _Act) -> int:
    state = StateDirectory(settings.state_directory)
    problems: list[str] = []
    found = False
    with Catalogue(state.catalogue) as catalogue:
        reader = Reader(settings, credentials, state, catalogue)
        pins = Pins(settings, credentials, state, catalogue, reader)
        for kind, store in open_stores(settings, credentials).items():
            try:
                found = act(pins, store, reader.read(store)) or found
            except (StoreError, RetentionError) as error:
                problems.append(f"{kind}: {error}")
    if problems:
        raise RetentionError(
            f"{backup} was not {done} everywhere. {' '.join(problems)} Put that right, then type the same "
            "again."
        )
    if not found:
        raise RetentionError(
            f"no store holds a backup {backup}. Nothing was changed. See: loomio-backup list"
        )
    return 0
