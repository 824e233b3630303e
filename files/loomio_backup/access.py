"""The configured stores, opened with this Pi's credentials."""

from loomio_backup import stores
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.stores import Store


def open_stores(config: Config, credentials: Credentials) -> dict[str, Store]:
    """Every configured store by its kind, the local one first; nothing is contacted yet."""
    return stores.open_stores(config, credentials.drive() if config.stores.drive else None)
