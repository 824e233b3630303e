"""The inventory: `pyinfra inventories/pi.py deploys/…`. What it declares is in pi.yml and secrets.yml.age."""

from pyinfra.api.exceptions import InventoryError

from inventories import unreached
from inventories.hosts import declare
from inventories.validation import SettingsError

unreached.tell()
try:
    pis = declare()
except SettingsError as error:
    raise InventoryError(str(error)) from None
