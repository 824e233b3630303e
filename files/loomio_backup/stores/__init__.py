"""Where objects are kept: a local folder, a Google Drive folder; one interface (base.Store), one conformance
suite.
"""

from collections.abc import Mapping
from typing import Any

from loomio_backup.config import Config
from loomio_backup.errors import StoreAuth
from loomio_backup.stores.base import Store, StoredObject
from loomio_backup.stores.drive import DriveFolder
from loomio_backup.stores.local import LocalFolder
from loomio_backup.stores.patience import Backoff

__all__ = ["Store", "StoredObject", "open_stores"]


def open_stores(
    config: Config, drive_credentials: Mapping[str, Any] | None, backoff: Backoff | None = None
) -> dict[str, Store]:
    """Every store that the configuration names, by kind; nothing is contacted yet.

    `drive_credentials` is the dictionary of Google's JSON file; `backoff` is how patient to be with Drive.
    Raises StoreAuth when Drive is configured without credentials.
    """
    stores: dict[str, Store] = {}
    if config.stores.local is not None:
        stores["local"] = LocalFolder(config.stores.local.path, config.stores.local.mount_point)
    if config.stores.drive is not None:
        if drive_credentials is None:
            raise StoreAuth(
                "Google Drive is configured as a store, but its credentials are missing. Nothing was done. "
                "Type `loomio-pi authorize` (for a service account put drive.credentials in with `loomio-pi "
                "secrets edit`), then run the setup deploy again."
            )
        stores["drive"] = DriveFolder(config.stores.drive, drive_credentials, backoff)
    return stores
