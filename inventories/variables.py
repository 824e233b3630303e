"""Environment variables that say where an operator's things are. Nothing is imported here: what only starts
something else is quick.
"""

SETTINGS_VARIABLE = "LOOMIO_PI_SETTINGS"
HOST_VARIABLE = "LOOMIO_PI_HOST"
PASSPHRASE_VARIABLE = "LOOMIO_PI_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable that names a file
