"""The operator's copy of the backups brought onto the new Pi, where Google Drive cannot be reached."""

from pathlib import Path

from pyinfra import logger
from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host

from deploys.console.pull_histories import Keys, by_order
from deploys.operations.store_upload import Upload, objects_uploaded
from deploys.steps import agent_config
from deploys.steps.preflight import Target
from loomio_backup.catalogue.manifest import Manifest, is_manifest
from loomio_backup.encryption import crypto
from loomio_backup.encryption.keyring import is_keyring
from loomio_backup.errors import AgentError

#: So many of the newest backups are brought: one to come back from, and two should it prove to be damaged.
NEWEST = 3
FROM = "--data from=FOLDER"


def wanted(host: Host, target: Target) -> tuple[Upload, ...]:
    """What `--data from=FOLDER` says is to be brought; nothing without it. Raises DeployError, before
    anything is changed.
    """
    word = host.data.get("from")
    if word is None:
        return ()
    backup = target.settings.backup
    if backup.drive is not None:
        raise DeployError(
            f"{target.name}: {FROM} is for a recovery without Google Drive, and backup.drive is on. Nothing "
            "was changed. For this evening say in the settings:  backup: {drive: off}  and run this again."
        )
    if backup.local is None:
        raise DeployError(
            f"{target.name}: {FROM} brings the backups into the Pi's own store, and backup.local is off. "
            "Nothing was changed. Leave backup.local out of the settings, and run this again."
        )
    found, left_out = uploads(Path(str(word)).expanduser(), target)
    for sentence in left_out:
        logger.warning(f"{host.print_prefix}{sentence}")
    if not found:
        raise DeployError(
            f"{target.name}: {word} holds no whole backup that your key opens. Nothing was changed. It has "
            "to be a copy that loomio-pi pull or loomio-pi import-folder has made; the latter takes what a "
            "browser downloaded."
        )
    return found


def uploads(folder: Path, target: Target) -> tuple[tuple[Upload, ...], list[str]]:
    """The objects of the newest whole backups in `folder`, each manifest after what it needs; sentences about
    newer ones that are left out.
    """
    manifests, left_out = _manifests(folder, target)
    newest: list[Manifest] = []
    for manifest in sorted(manifests, key=by_order, reverse=True):
        lacking = [one.name for one in manifest.objects if _size(folder / one.name) != one.stored_size]
        if not lacking:
            newest.append(manifest)
        elif not newest:
            left_out.append(
                f"{manifest.name} is not whole in {folder} ({lacking[0]} is missing or cut), so it is not "
                "brought along. loomio-pi pull or loomio-pi import-folder may complete it."
            )
    found: dict[str, Upload] = {}
    for manifest in newest[:NEWEST]:
        for entry in manifest.objects:
            found.setdefault(entry.name, Upload(entry.name, folder / entry.name, entry.stored_size))
        found[manifest.manifest_name] = _upload(folder / manifest.manifest_name)
    if found:
        rings = sorted(path.name for path in folder.iterdir() if is_keyring(path.name))
        found = {**{name: _upload(folder / name) for name in rings}, **found}
    return tuple(found.values()), left_out


def _manifests(folder: Path, target: Target) -> tuple[list[Manifest], list[str]]:
    """Those that can be used, and sentences about the others."""
    config = agent_config.build(target.settings, target.secrets, target.name)
    keys = Keys(
        crypto.parse_identities(agent_config.identities(target.secrets)),
        (config.signing_public_key, *config.old_signing_public_keys),
    )
    try:
        names = sorted(path.name for path in folder.iterdir() if is_manifest(path.name))
    except OSError as error:
        raise DeployError(
            f"{target.name}: {folder} cannot be read ({error.strerror}). Nothing was changed."
        ) from None
    found, unusable = [], []
    for name in names:
        try:
            found.append(keys.unsealed(folder / name, name))
        except AgentError as error:
            unusable.append(f"{name} in {folder} is not brought along: {error}")
    return found, unusable


def _upload(path: Path) -> Upload:
    return Upload(path.name, path, path.stat().st_size)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


@deploy("Copy")
def bring(target: Target, objects: tuple[Upload, ...]) -> None:
    """Copy them into the Pi's own store."""
    local = target.settings.backup.local
    if objects and local:
        objects_uploaded(
            name=f"Bring {len(objects)} objects into {local.path}",
            uploads=objects,
            directory=local.path,
            user=target.machine.user,
        )
