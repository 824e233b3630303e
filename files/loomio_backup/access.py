"""The configured stores, opened with this Pi's credentials."""

from loomio_backup import stores
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.stores import Store
from loomio_backup.stores.patience import Backoff


def open_stores(config: Config, credentials: Credentials, backoff: Backoff | None = None) -> dict[str, Store]:
    """Every configured store by its kind, the local one first; nothing is contacted yet. `backoff`: how
    patient to be with Drive.
    """
    return stores.open_stores(config, credentials.drive() if config.stores.drive else None, backoff)
