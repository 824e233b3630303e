"""What has to be right before a restore begins: a key, room, and the application's own keys."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from loomio_backup import docker, room
from loomio_backup.backup import bundle
from loomio_backup.backup.bundle import Bundle
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.config import Config
from loomio_backup.credentials import IDENTITY
from loomio_backup.encryption.keys import Keys
from loomio_backup.errors import RestoreError
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.restore.restore_journal import BOTH, Part
from loomio_backup.stores import Store


def require_identity(config: Config, keys: Keys) -> None:
    """Raise RestoreError on a Pi that is kept without the key."""
    if keys.newest is None:
        place = config.credentials_directory / IDENTITY
        raise RestoreError(
            "this Pi holds no identity (offline key), so it cannot open its backups. Nothing was changed. "
            "The operator's machine has the key: run the deploy there that lends it for as long as it takes "
            f"(deploys/disaster_recovery.py), or put the identity into {place} meanwhile."
        )


def require_room(
    config: Config,
    manifest: Manifest,
    stores: Sequence[Store],
    roots: Mapping[str, Path],
    spool: Path,
    parts: Collection[Part] = BOTH,
    freed: Mapping[Path, int] = MappingProxyType({}),
    *,
    can_stream: bool = True,
) -> None:
    """Raise RestoreError without room for the database beside the live one, the files beside the live ones,
    and one object for each of the two at a time between (if they have to be fetched). `freed`: bytes that
    will be free at these places by then; `can_stream`: see `room.require_restore`.
    """
    database = docker.service_container(config.project, config.database.service)
    needs = {place: -size for place, size in freed.items()}

    def need(place: Path, size: int) -> None:
        needs[place] = needs.get(place, 0) + size

    if "database" in parts:
        need(docker.data_directory(database), manifest.only("database").plain_size)
    if "files" in parts and len({root.stat().st_dev for root in roots.values()}) == 1:
        # Else only the index says how much goes where; it is looked at before a file is written.
        need(next(iter(roots.values())), manifest.app_data.bytes)
    fetched = sorted(
        entry.stored_size
        for entry in manifest.objects
        if entry.kind != "legacy" and all(store.source_path(entry.name) is None for store in stores)
    )
    need(spool, sum(fetched[-len(parts) :]))
    room.require_restore(manifest.name, needs, can_stream=can_stream)


def read_settings(config: Config, manifest: Manifest, fetcher: Fetcher) -> Bundle:
    """The config object's content. Raises RestoreError when the application's keys are not those of the
    backup.
    """
    with fetcher.content(manifest.only("config")) as source:
        found = bundle.read(source)
    wanted = bundle.parse_env(found.env or "")
    env_file = config.stack_env_file
    present = bundle.parse_env(env_file.read_text(encoding="utf-8")) if env_file.exists() else {}
    differing = [key for key in config.application_keys if key in wanted and wanted[key] != present.get(key)]
    if differing:
        raise RestoreError(
            f"{env_file} has other application keys than {manifest.name}: {', '.join(differing)}. "
            "With them sessions and links to attachments would break. Nothing live was changed. Put the "
            "backup's keys into the secrets file (they are in its config object) and try again."
        )
    return found
