"""`loomio-backup probe`: can each store really be written, read and cleared?

The setup asks this before anybody relies on a store, and again only when its settings or credentials have
changed since it last worked: what is remembered is a hash of both.
"""

import argparse
import contextlib
import hashlib
import json
from pathlib import Path

from loomio_backup import config as configuration
from loomio_backup.config import Config
from loomio_backup.credentials import DRIVE, Credentials
from loomio_backup.errors import ConfigError
from loomio_backup.progress import say
from loomio_backup.state import StateDirectory, write_private

_MEMORY = "probed.json"
#: What decides how a store is reached; what is kept there, and how fast, does not.
_ACCESS = {
    "local": {"path", "mount_point"},
    "drive": {
        *("folder_id", "folder_name", "shared_drive_id", "subject", "api_root", "token_uri"),
        *("deletion", "append_only"),
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--store", choices=["local", "drive"], help="only this store")
    parser.add_argument(
        "--due",
        action="store_true",
        help="only print which stores have changed settings or credentials since their last good probe",
    )


def run_verb(arguments: argparse.Namespace) -> int:
    """Raises the StoreError of the first store that does not work."""
    config = configuration.load(arguments.config)
    credentials = Credentials(config.credentials_directory)
    memory = StateDirectory(config.state_directory).path / _MEMORY
    present = kinds(config)
    if arguments.store and arguments.store not in present:
        raise ConfigError(
            f"there is no {arguments.store} store on this Pi, so there was nothing to try. Turn on "
            f"backup.{arguments.store} in the settings and run the setup deploy."
        )
    wanted = [arguments.store] if arguments.store else present
    if arguments.due:
        for kind in wanted:
            if _recalled(memory).get(kind) != fingerprint(kind, config, credentials):
                say(kind)
        return 0
    probe(config, credentials, memory, wanted)
    return 0


def kinds(config: Config) -> list[str]:
    """The stores of the configuration."""
    return [kind for kind in _ACCESS if getattr(config.stores, kind) is not None]


def probe(config: Config, credentials: Credentials, memory: Path, wanted: list[str]) -> None:
    """Probe each store, and remember those that work. Raises StoreError."""
    # Google's libraries: not before they are needed.
    from loomio_backup import stores

    opened = stores.open_stores(config, credentials.drive() if config.stores.drive else None)
    for kind in wanted:
        # Taken before: should the file change meanwhile, it is the old one that worked.
        proven = fingerprint(kind, config, credentials)
        opened[kind].probe()
        write_private(memory, json.dumps({**_recalled(memory), kind: proven}) + "\n")
        left = (
            ", and left there, because nothing may be deleted"
            if opened[kind].append_only
            else ", then removed"
        )
        say(f"{kind}: a small object was stored, read back{left}")


def fingerprint(kind: str, config: Config, credentials: Credentials) -> str:
    """SHA-256 (hex) of all that decides how a store is reached."""
    settings = getattr(config.stores, kind).model_dump(mode="json", include=_ACCESS[kind])
    secret = credentials.optional(DRIVE) if kind == "drive" else None
    return hashlib.sha256(json.dumps([settings, secret], sort_keys=True).encode()).hexdigest()


def _recalled(memory: Path) -> dict[str, str]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        document = json.loads(memory.read_text(encoding="utf-8"))
        if isinstance(document, dict):
            return document
    return {}
