"""Where a typed kit finds the backups: a folder, or Google Drive by login, key file or access at hand."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploys.console import authorize_browser, authorize_device
from deploys.console.kit_content import Kit
from inventories.settings import display
from inventories.validation import SettingsError
from loomio_backup.catalogue.manifest import is_manifest
from loomio_backup.config import DriveStore
from loomio_backup.stores.base import Store
from loomio_backup.stores.drive import DriveFolder
from loomio_backup.stores.local import LocalFolder


@dataclass(frozen=True, repr=False)
class Found:
    """The store, what people call it, and the access to Drive that it was opened with, None for a folder."""

    store: Store
    name: str
    credentials: dict[str, Any] | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """What both verbs take that look into the backups."""
    parser.add_argument(
        "--from", dest="folder", type=Path, metavar="FOLDER",
        help="a folder that holds the backups (a copy that loomio-pi pull made, a disk, a download)",
    )  # fmt: skip
    parser.add_argument(
        "--device", action="store_true", help="sign in to Google on another machine, without a browser here"
    )
    parser.add_argument(
        "--credentials", type=Path, metavar="FILE", help="the JSON key of a service account, not a login"
    )
    parser.add_argument(
        "--identity", type=Path, metavar="FILE",
        help="a file that holds the key, for a page without it and for whoever has a key of their own",
    )  # fmt: skip


def folder(path: Path) -> Found:
    """Backups in a folder. Raises `SettingsError` when there are none."""
    try:
        names = [one.name for one in path.iterdir()]
    except OSError as error:
        raise SettingsError(
            f"{display(path)} cannot be read: {error.strerror}. Nothing was changed."
        ) from None
    if not any(map(is_manifest, names)):
        raise SettingsError(
            f"{display(path)} holds no backup: no file in it is named loomio_backup_….manifest.age. Nothing "
            "was changed. Name the folder in which they are."
        )
    return Found(LocalFolder(path.absolute()), display(path))


def drive(kit: Kit, *, device: bool, key_file: Path | None) -> Found:
    """The Drive folder that the kit names, with a login that is asked for, or a service account's key."""
    if kit.drive is None:
        raise SettingsError(
            "This kit is of a Loomio without backups in Google Drive. Nothing was changed. Name the folder "
            "that holds them with --from FOLDER."
        )
    if key_file is not None:
        credentials = _key(key_file)
    elif kit.client is None:
        raise SettingsError(
            "The backups of this kit are in a Drive that a service account has access to. Nothing was "
            "changed. Make a new JSON key for it in the Google Cloud console, and name the file with "
            "--credentials FILE."
        )
    elif device:
        credentials = authorize_device.authorize(kit.client, kit.drive.device_uri, kit.drive.token_uri)
    else:
        credentials = authorize_browser.authorize(kit.client, kit.drive.auth_uri, kit.drive.token_uri)
    return opened(kit, credentials)


def opened(kit: Kit, credentials: Mapping[str, Any]) -> Found:
    """The Drive folder that the kit names, with this access."""
    assert kit.drive is not None
    settings = DriveStore(
        folder_id=kit.drive.folder_id,
        folder_name=kit.drive.folder_name,
        shared_drive_id=kit.drive.shared_drive_id,
        subject=kit.drive.subject,
        api_root=kit.drive.api_root,
        token_uri=kit.drive.token_uri,
        # Whoever only looks never deletes.
        append_only=True,
    )
    return Found(DriveFolder(settings, credentials), "Google Drive", dict(credentials))


def _key(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{display(path)} cannot be read: {error.strerror}. Nothing was changed."
        ) from None
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("type") != "service_account":
        raise SettingsError(
            f"{display(path)} is not the JSON key of a service account. Nothing was changed. Make one in the "
            "Google Cloud console (IAM & Admin, Service Accounts, Keys), and download it."
        )
    return document
