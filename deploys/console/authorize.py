"""`loomio-pi authorize`: an ordinary Google account lets the program keep backups in its Drive."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from deploys.console import authorize_browser, authorize_device, kit_record
from deploys.console.authorize_google import Client, read_client
from deploys.steps import agent_config
from inventories import secrets_file
from inventories.passphrase import passphrase
from inventories.secrets import Secrets, checked, group_for
from inventories.secrets_edit import with_values
from inventories.settings import Settings, display, load_settings, settings_file
from inventories.validation import SettingsError
from loomio_backup.catalogue.manifest import is_manifest
from loomio_backup.errors import StoreError
from loomio_backup.stores.drive import DriveFolder

_BEFORE = """\
This gives the program access to the files that it makes itself in a Google Drive, and to no others.
Your OAuth app must be published (Google Cloud console: Google Auth Platform, Audience, Publish app). While it
is in testing, Google takes the access back after 7 days, and backups stop to reach Drive.
"""


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi authorize",
        description="Asks Google for access to a Drive, and writes it into the encrypted secrets file "
        "(drive.credentials). For service accounts this is not needed.",
        epilog="How to make the OAuth client is in docs/google-drive.md.",
    )
    parser.add_argument(
        "--client", type=Path, metavar="FILE", help="the OAuth client's JSON file, as downloaded from Google"
    )
    parser.add_argument(
        "--device", action="store_true", help="consent on another machine, when this one has no browser"
    )
    options = parser.parse_args(arguments)
    file = settings_file()
    settings = load_settings(file)
    if settings.backup.drive is None:
        raise SettingsError(
            "The settings have no Google Drive to authorise for. Nothing was changed. Turn backup.drive on "
            f"in {display(file)} (as pi.example.yml shows it), then run the same again."
        )
    path = secrets_file.secrets_file(file)
    secrets_file.require(path)
    word = passphrase(display(path), path)
    before = checked(secrets_file.decrypted(path, word), "secrets.yml", settings.name)
    print(_BEFORE)
    client = _client(options.client, before)
    drive = settings.backup.drive
    if options.device:
        found = authorize_device.authorize(client, drive.device_uri, drive.token_uri)
    else:
        found = authorize_browser.authorize(client, drive.auth_uri, drive.token_uri)
    # Read again: minutes have passed, and somebody may have edited it.
    text = secrets_file.decrypted(path, word)
    group = group_for(checked(text, "secrets.yml"), settings.name, "drive")
    text = with_values(text, {(*group, "credentials"): found})
    after = checked(text, "secrets.yml", settings.name)
    secrets_file.replace(path, text, word)
    print(f"Access is granted, and kept in {display(path)}.")
    _prove(settings, after, _client_of(before), client)
    if options.client:
        print(f"{display(options.client)} is not needed any more: what it held is in the secrets. Delete it.")
    kit_record.tell_if_outdated(file, text)
    print("Next, to give the access to the Pi: loomio-pi deploy setup")
    return 0


def _client(file: Path | None, secrets: Secrets) -> Client:
    if file is not None:
        return read_client(file)
    if (client := _client_of(secrets)) is not None:
        # Another client would not see what this one has made.
        print("The OAuth client that is in the secrets already is used again.")
        return client
    if not sys.stdin.isatty():
        raise SettingsError(
            "The OAuth client is needed. Nothing was changed. Name its JSON file, as downloaded from Google, "
            "with --client FILE, or run this on a terminal to type it."
        )
    client_id = input("Client ID (…apps.googleusercontent.com): ").strip()
    client_secret = getpass.getpass("Client secret (it is not shown): ").strip()
    if not client_id or not client_secret:
        raise SettingsError("Client ID and client secret are both needed. Nothing was changed.")
    return Client(client_id, client_secret)


def _client_of(secrets: Secrets) -> Client | None:
    known = secrets.drive.credentials
    if known is None or known["type"] != "authorized_user":
        return None
    return Client(known["client_id"], known["client_secret"])


def _prove(settings: Settings, secrets: Secrets, old: Client | None, new: Client) -> None:
    """Make the folder, and really store something in it."""
    store_settings = agent_config.build(settings, secrets, settings.name).stores.drive
    assert store_settings is not None and secrets.drive.credentials is not None
    folder = DriveFolder(store_settings, secrets.drive.credentials)
    try:
        backups = sum(1 for stored in folder.list() if is_manifest(stored.name))
        folder.probe()
    except StoreError as error:
        raise SettingsError(
            f"The access is kept, but the Drive folder cannot be used with it: {error}"
        ) from error
    known = f"{backups} backups in it" if backups else "no backups in it yet"
    print(
        f"The Drive folder {store_settings.folder_id or repr(store_settings.folder_name)} can be used, with "
        f"{known}: a test object was stored there and read back."
    )
    if not backups and old is not None:
        reason = "another OAuth client" if old.client_id != new.client_id else "another account"
        print(
            "If this Pi has backups in Drive already, they are not seen with this access: was it granted by "
            f"{reason} than before? Then run the same again with the former one."
        )
